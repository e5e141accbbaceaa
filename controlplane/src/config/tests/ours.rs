//! Settings that the Go broker does not have.

use std::time::Duration;

use dataplane::{IoChoice, Timeouts};
use protocol::{ChannelBinding, CleartextPassword};

use super::*;
use crate::config::model::ConnectorConfig;

#[test]
fn everything_has_a_default() {
    let config = loaded(&with_service("")).config;
    assert!(config.broker.workers >= 1);
    assert_eq!(config.broker.io, IoChoice::Auto);
    assert_eq!(config.broker.admin, Some(([127, 0, 0, 1], 5335).into()));
    assert_eq!(config.broker.drain_timeout, Duration::from_secs(8));
    assert_eq!(config.broker.sessions_max, 10_000);
    assert_eq!(config.path, Path::new("secretless.yml"));
    let service = &config.services[0];
    assert_eq!(service.sessions_max, 10_000);
    assert_eq!(
        service.timeouts,
        Timeouts { dial: Duration::from_secs(10), handshake: Duration::from_secs(30), idle: None }
    );
    assert!(service.required);
    assert_eq!(service.connector, ConnectorConfig::default());
    assert_eq!(service.place, Place { line: 3, column: 3 });
    assert_eq!(service.credentials[0].place, Place { line: 6, column: 25 });
}

#[test]
fn everything_can_be_set() {
    let config = loaded(
        "version: 2\n\
         broker:\n\
         \x20 workers: 3\n\
         \x20 io: epoll\n\
         \x20 admin: 0.0.0.0:9000\n\
         \x20 drainTimeout: 0\n\
         \x20 allowRemote: yes\n\
         \x20 limits: {sessions: 20_000}\n\
         \x20 timeouts: {dial: 5, handshake: 1m, idle: 2h}\n\
         services:\n\
         \x20 a:\n\
         \x20   connector: pg\n\
         \x20   listenOn: unix://run/a.sock\n\
         \x20   credentials: {password: {from: file, get: /p, raw: true}}\n\
         \x20   socket: {owner: root, group: 0, mode: 0600}\n\
         \x20   limits: {sessions: 7}\n\
         \x20   timeouts: {dial: 250ms, idle: off}\n\
         \x20   required: false\n\
         \x20   refresh: 30s\n\
         \x20   stale: 0\n\
         \x20   failureTtl: 5s\n\
         \x20   rotationGrace: 0\n\
         \x20   config: {cleartextPassword: always}\n\
         \x20 b:\n\
         \x20   connector: pg\n\
         \x20   listenOn: tcp://:5432\n\
         \x20   credentials: {host: db}\n\
         \x20   config: {cleartextPassword: tls, channelBinding: require}\n",
    )
    .config;
    assert_eq!(
        config.broker,
        BrokerConfig {
            workers: 3,
            io: IoChoice::Epoll,
            admin: Some(([0, 0, 0, 0], 9000).into()),
            drain_timeout: Duration::ZERO,
            sessions_max: 20_000
        }
    );
    let [a, b] = &config.services[..] else { panic!("two services") };
    let access = SocketAccess { owner: Some(0), group: Some(0), mode: 0o600 };
    assert_eq!(a.listen_on, ListenOn::Unix { path: "run/a.sock".into(), access });
    assert_eq!(a.sessions_max, 7);
    assert_eq!(
        a.timeouts,
        Timeouts { dial: Duration::from_millis(250), handshake: Duration::from_secs(60), idle: None }
    );
    assert!(!a.required);
    let freshness = |service: &ServiceConfig| {
        (service.refresh, service.stale_max, service.failure_pause_max, service.rotation_grace)
    };
    let seconds = Duration::from_secs;
    assert_eq!(freshness(a), (Some(seconds(30)), Duration::ZERO, seconds(5), Duration::ZERO));
    assert_eq!(freshness(b), (Some(seconds(300)), seconds(3600), seconds(60), seconds(2)));
    assert_eq!(a.connector.cleartext_password, Some(CleartextPassword::Always));
    assert!(matches!(a.credentials[0].source, Source::Provider { raw: true, .. }));

    assert_eq!(b.listen_on.to_string(), "tcp://[::]:5432");
    assert_eq!(b.sessions_max, 20_000);
    assert_eq!(
        b.timeouts,
        Timeouts {
            dial: Duration::from_secs(5),
            handshake: Duration::from_secs(60),
            idle: Some(Duration::from_secs(7200))
        }
    );
    assert!(b.required);
    assert_eq!(b.connector.cleartext_password, Some(CleartextPassword::Tls));
    assert_eq!(
        (a.connector.channel_binding, b.connector.channel_binding),
        (ChannelBinding::Prefer, ChannelBinding::Require)
    );
}

#[test]
fn the_admin_address_can_be_off() {
    for off in ["off", "\"off\"", "false", "no"] {
        let file = format!("{}broker: {{admin: {off}}}\n", with_service(""));
        assert_eq!(loaded(&file).config.broker.admin, None, "{off}");
    }
}

/// The service's own word counts, then the broker's or the command line's.
#[test]
fn listening_beyond_this_machine_must_be_allowed() {
    let wide = |service: &str, broker: &str| {
        let file = with_service(service).replace("127.0.0.1", "0.0.0.0");
        format!("{file}broker: {{{broker}}}\n")
    };
    for (service, broker, flag, allowed) in [
        ("", "", false, false),
        ("allowRemote: true", "", false, true),
        ("", "allowRemote: true", false, true),
        ("", "", true, true),
        ("", "allowRemote: false", true, true),
        ("allowRemote: false", "allowRemote: true", true, false),
        ("allowRemote: true", "allowRemote: false", false, true),
    ] {
        let file = wide(service, broker);
        let result = Reading { allow_remote: flag, ..reading(&System::REAL) }.read(&file);
        assert_eq!(result.is_ok(), allowed, "{file} {flag}");
    }
    let refusal = report(&wide("", ""));
    for way in ["`allowRemote: true` on the service", "under `broker:`", "--allow-remote"] {
        assert!(refusal.contains(way), "{refusal}");
    }
}

#[test]
fn a_driver_that_does_not_exist_is_an_error() {
    let file = format!("{}broker: {{io: kqueue}}\n", with_service(""));
    assert_eq!(
        report(&file),
        "secretless.yml:7:14: error: broker.io: expected `auto`, `uring` or `epoll`, found `kqueue`\n  \
         help: `auto`: io_uring where the kernel has it, else epoll; `uring`: io_uring or no start\n"
    );
}
