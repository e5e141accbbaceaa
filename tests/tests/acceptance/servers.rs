//! The servers that the other tests stand on are what those tests take them for.

use tests::postgres::{Major, plaintext, shared};

#[test]
fn both_majors_start_and_differ() {
    let [older, newer] = Major::ALL.map(shared);
    assert!(newer.major() >= 18, "the newer PostgreSQL is {}", newer.major());
    assert!(older.major() < newer.major(), "the distribution has {}", older.major());
    for cluster in [older, newer] {
        assert_eq!(cluster.sql("SHOW ssl").unwrap(), "on");
    }
    assert_eq!(plaintext().sql("SHOW ssl").unwrap(), "off");
}
