//! Compression is between the client and the server: the broker passes what it cannot read.

use tests::mysql::{Client, Kind};

use super::{Front, servers};

const STATUS: &str = "SHOW STATUS LIKE 'Compression'";

#[test]
fn clients_compress_unless_the_service_says_otherwise() {
    for server in servers() {
        let plugin = tests::mysql::Plugin::usual(server.kind());
        let off = Front::with(server, plugin, |service| service.line("config: {compression: off}"));
        let on = Front::of(server);
        for front in [&on, &off] {
            let is_on = if std::ptr::eq(front, &raw const on) { "ON" } else { "OFF" };
            let client = front.client();
            assert_eq!(client.clone().query(STATUS).unwrap(), "Compression\tOFF");
            assert_eq!(client.with(&["--compress"]).query(STATUS).unwrap(), format!("Compression\t{is_on}"));
            if server.kind() == Kind::MySql {
                for algorithm in ["zlib", "zstd"] {
                    let option = format!("--compression-algorithms={algorithm},uncompressed");
                    let client = Client::mysql(&front.endpoint).unwrap().with(&[&option]);
                    let said = client.query("SHOW STATUS LIKE 'Compression_algorithm'").unwrap();
                    let expected = if is_on == "ON" { algorithm } else { "" };
                    assert_eq!(said.strip_prefix("Compression_algorithm").map(str::trim), Some(expected));
                }
            }
        }
        on.end();
        off.end();
    }
}
