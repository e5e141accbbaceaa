//! Drivers of several languages do all that they do directly.

use tests::mysql::drivers::{self, Driver};
use tests::mysql::{Kind, Plugin};

use super::{Front, servers};
use crate::mysql_async_driver::{self, Without};

/// Everything on every server, as an account of each plugin in turn.
#[track_caller]
fn drive(name: &str) {
    let driver = drivers::ALL.iter().find(|driver| driver.name == name).unwrap();
    for server in servers() {
        let mut without = driver.cannot_do_on(server);
        let front = Front::of(server);
        everything(driver, &front, &without);
        front.end();
        // It may believe in whatever plugin it likes, and have a password of its own.
        without.extend(driver.steps.iter().filter(|step| **step != "user"));
        for &plugin in server.plugins() {
            let mut front = Front::with(server, plugin, |service| service);
            front.endpoint.password = Some("a password of its own".to_owned());
            everything(driver, &front, &without);
            front.end();
        }
    }
}

#[track_caller]
fn everything(driver: &Driver, front: &Front, without: &[&str]) {
    if let Err(failure) = driver.drive(&front.endpoint, without) {
        panic!("{failure}\n{}", front.broker.said());
    }
}

#[test]
fn pymysql_does_its_work() {
    drive("PyMySQL");
}

#[test]
fn mysql_connector_python_does_its_work() {
    drive("mysql-connector-python");
}

#[test]
fn mysql_connector_python_in_c_does_its_work() {
    drive("mysql-connector-python in C");
}

#[test]
fn aiomysql_does_its_work() {
    drive("aiomysql");
}

#[test]
fn mysql2_does_its_work() {
    drive("mysql2");
}

#[test]
fn go_sql_driver_does_its_work() {
    drive("go-sql-driver");
}

#[test]
fn mysql_connector_j_does_its_work() {
    drive("MySQL Connector/J");
}

#[test]
fn mariadb_connector_j_does_its_work() {
    drive("MariaDB Connector/J");
}

#[test]
fn mysql_async_does_its_work() {
    for server in servers() {
        let without = Without { attributes: !server.has_performance_schema(), ..Without::default() };
        let plugin = Plugin::usual(server.kind());
        for plugin in
            [plugin, if server.kind() == Kind::MySql { Plugin::Sha256Password } else { Plugin::Ed25519 }]
        {
            let front = Front::with(server, plugin, |service| service);
            mysql_async_driver::drive(&front.endpoint, without);
            front.end();
        }
    }
}
