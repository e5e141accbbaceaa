//! JSON that we send.
//!
//! Owns the writing of an object into memory that does not grow, for its values are secrets. Knows no field.

use protocol::Secret;
use zeroize::Zeroizing;

/// An object of these members; `None` if a value is no text.
pub(super) fn object(members: &[(&str, &Secret)]) -> Option<Zeroizing<Vec<u8>>> {
    // The longest that a byte can become is its escape; quotes, a colon and a comma come with each member.
    let length = members.iter().map(|(name, value)| name.len() + 6 * value.len() + 6).sum::<usize>() + 2;
    let mut json = Zeroizing::new(Vec::with_capacity(length));
    json.push(b'{');
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        quote(name, &mut json);
        json.push(b':');
        value.expose(|bytes| {
            quote(str::from_utf8(bytes).ok()?, &mut json);
            Some(())
        })?;
    }
    json.push(b'}');
    debug_assert!(json.len() <= length, "no copy is left behind");
    Some(json)
}

fn quote(text: &str, json: &mut Vec<u8>) {
    json.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => json.extend([b'\\', byte]),
            0..=0x1F => {
                json.extend(b"\\u00");
                json.extend([byte >> 4, byte & 0xF].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
            }
            _ => json.push(byte),
        }
    }
    json.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_through_a_reader_of_json() {
        let text: String = (0..0x250).filter_map(char::from_u32).collect();
        let secret = |bytes: &[u8]| Secret::from_heap(bytes.to_vec());
        let json = object(&[("a", &secret(text.as_bytes())), ("b", &secret(b""))]).expect("it is text");
        let read: serde_json::Value = serde_json::from_slice(&json).expect("it is JSON");
        assert_eq!((read["a"].as_str(), read["b"].as_str()), (Some(text.as_str()), Some("")));
        assert_eq!(object(&[]).as_deref().map(Vec::as_slice), Some(&b"{}"[..]));
        assert!(object(&[("a", &secret(b"\xff"))]).is_none());
    }
}
