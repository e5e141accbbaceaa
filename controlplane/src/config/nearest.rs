//! The known word that was meant by a mistyped one, or by the word for it elsewhere.

/// The word of `known` that is few typing errors away from `word`.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let word = word.to_lowercase();
    known
        .iter()
        .map(|known| (distance(&word, &known.to_lowercase()), *known))
        .min()
        .filter(|(distance, known)| *distance <= known.chars().count() / 3)
        .map(|(_, known)| known)
}

/// What a value is called here that has this name in clients of databases.
pub(super) fn elsewhere(name: &str) -> Option<&'static str> {
    Some(match name.to_lowercase().replace(['-', '_'], "").as_str() {
        "user" | "login" => "username",
        "passwd" | "pass" | "pwd" => "password",
        "hostname" | "server" => "host",
        "db" | "dbname" => "database",
        "sslca" | "cafile" | "cacert" => "sslrootcert",
        _ => return None,
    })
}

/// How many letters must be inserted, removed, replaced or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (i, x) in a.chars().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(x != y);
            let mut best = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if j > 0 && previous == Some(y) && b[j - 1] == x {
                best = best.min(before_last[j - 1] + 1);
            }
            row.push(best);
        }
        before_last = last;
        last = row;
        previous = Some(x);
    }
    last[b.len()]
}

/// No known word is longer.
const WORD_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_word_behind_a_typing_error() {
        let known = ["listenOn", "connector", "credentials", "limits"];
        for (word, meant) in [
            ("listenon", Some("listenOn")),
            ("listen_on", Some("listenOn")),
            ("lsitenOn", Some("listenOn")),
            ("conector", Some("connector")),
            ("credential", Some("credentials")),
            ("limit", Some("limits")),
            ("debug", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &known), meant, "{word}");
        }
        assert_eq!(nearest(&"x".repeat(1_000_000), &known), None);
    }
}
