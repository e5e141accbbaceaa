//! The secret stores that the other tests stand on are what those tests take them for.

use serde_json::json;
use tests::openbao::{OpenBao, Options, Storage, shared};

#[test]
fn a_store_has_both_versions_of_kv_and_gives_a_narrow_token_only_what_it_may_read() {
    let store = shared();
    store.write("kv/servers/one", &json!({"password": "p1"})).unwrap();
    store.write("secret/data/servers/one", &json!({"data": {"password": "p2"}})).unwrap();
    assert_eq!(store.read("kv/servers/one").unwrap()["data"]["password"], "p1");
    assert_eq!(store.read("secret/data/servers/one").unwrap()["data"]["data"]["password"], "p2");

    let token = store.reader(&["kv/servers/one"]).unwrap();
    let status = |path| store.ask("GET", path, Some(&token), None).unwrap().status;
    assert_eq!(status("kv/servers/one"), 200);
    assert_eq!(status("secret/data/servers/one"), 403);
    // What a mount is may be asked by whoever may read anything beneath it.
    assert_eq!(status("sys/internal/ui/mounts/kv/servers/one"), 200);
    assert_eq!(status("sys/internal/ui/mounts/secret/servers/one"), 403);
}

#[test]
fn a_store_on_disk_is_sealed_after_a_restart_and_has_lost_nothing() {
    let options = Options { storage: Storage::Raft, ..Options::default() };
    let store = OpenBao::start(&options).unwrap();
    store.write("kv/one", &json!({"password": "p1"})).unwrap();
    let token = store.reader(&["kv/one"]).unwrap();

    store.stop().unwrap();
    assert!(store.read("kv/one").is_err());
    store.resume().unwrap();
    assert_eq!(store.ask("GET", "kv/one", Some(&token), None).unwrap().status, 503, "sealed");
    store.unseal().unwrap();
    let answer = store.ask("GET", "kv/one", Some(&token), None).unwrap();
    assert_eq!((answer.status, &answer.body["data"]["password"]), (200, &json!("p1")));

    store.seal().unwrap();
    assert_eq!(store.ask("GET", "kv/one", Some(&token), None).unwrap().status, 503);
    store.unseal().unwrap();
    assert_eq!(store.ask("GET", "kv/one", Some(&token), None).unwrap().status, 200);
}
