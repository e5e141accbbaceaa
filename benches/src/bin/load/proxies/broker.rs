//! The broker, once for each of its drivers.

use std::path::Path;
use std::process::Command;

use tests::broker::{Broker, File, Listen, Service, Value};
use tests::failure::{Failure, Result};

use super::{Door, Kind, Proxy, Started, Targets, first_words, listener};
use crate::options::Options;
use crate::scenarios::{Road, Work};

/// The broker with the driver that it takes where it can.
pub(crate) const URING: OurBroker = OurBroker { name: "broker, io_uring", driver: "uring" };

/// The broker with the driver that it takes where the kernel refuses a ring.
pub(super) const EPOLL: OurBroker = OurBroker { name: "broker, epoll", driver: "epoll" };

/// The broker as a proxy among others.
pub(crate) struct OurBroker {
    name: &'static str,
    /// The value of `--io`.
    driver: &'static str,
}

impl Proxy for OurBroker {
    fn name(&self) -> &'static str {
        self.name
    }

    fn kind(&self) -> Kind {
        Kind::Broker
    }

    /// An older build, which `--broker` may name, has but one driver.
    fn is_optional(&self) -> bool {
        self.driver != URING.driver
    }

    fn serves(&self, _: Road, _: Work) -> bool {
        true
    }

    fn logs_in(&self) -> bool {
        true
    }

    fn obtain(&self, options: &Options) -> Result<String> {
        let program = options.broker()?;
        if self.is_optional() && !has_drivers(program)? {
            return Err(Failure::new("this build of the broker has one driver only"));
        }
        first_words(Command::new(program).arg("--version"))
    }

    fn start(&self, targets: &Targets, roads: &[Road]) -> Result<Started> {
        let services = roads.iter().enumerate().map(|(number, &road)| service(targets, number, road));
        let mut file = File::with(services.collect::<Result<Vec<_>>>()?)?;
        file.broker.push("workers: 1".to_owned());
        let config = file.write()?;
        let mut command = targets.command(&targets.broker);
        command.arg("-f").arg(&config).current_dir("/");
        if has_drivers(&targets.broker)? {
            command.args(["--io", self.driver]);
        }
        let broker = Broker::launch_with(&mut command, file.admin(), config)?;
        broker.wait_until_ready()?;
        let pid = broker.process().pid();
        let doors = roads.iter().zip(file.services).map(|(&road, service)| {
            let database = targets.login(road.target).name.clone();
            Door { road, listen: service.listen, database, pid }
        });
        Ok(Started { doors: doors.collect(), running: vec![Box::new(broker)] })
    }
}

fn service(targets: &Targets, number: usize, road: Road) -> Result<Service> {
    let connector = if road.target.is_mysql() { "mysql" } else { "pg" };
    let login = targets.login(road.target);
    let service = Service::new(connector, &format!("road{number}"), listener(road)?)
        .literal("username", &login.name)
        .literal("password", &login.password);
    let service = match targets.address(road.target) {
        Listen::Tcp(port) => service.literal("host", "127.0.0.1").literal("port", &port.to_string()),
        Listen::Unix(path) => return Ok(service.literal("host", &path.display().to_string())),
    };
    if !road.target.is_tls() {
        return Ok(service.literal("sslmode", "disable"));
    }
    let authority = Value::From("file", targets.authority.display().to_string());
    Ok(service.literal("sslmode", "verify-full").credential("sslrootcert", authority))
}

/// Whether this build can be told which driver to take.
pub(crate) fn has_drivers(program: &Path) -> Result<bool> {
    let help = tests::process::run(Command::new(program).arg("--help"))?.succeeded()?;
    Ok(help.contains("--io"))
}
