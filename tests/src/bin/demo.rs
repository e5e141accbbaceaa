//! `cargo demo`: a real PostgreSQL whose password nobody knows but the broker, and a client that needs none.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::{Command, ExitCode};

use tests::broker::{self, Broker, File, Listen, Service, Value, pg};
use tests::failure::{Doing, Failure, Result};
use tests::interrupt;
use tests::obtain::{Part, obtain};
use tests::places;
use tests::ports;
use tests::postgres::{Cluster, Installation, Login, Options, unguessable};
use tests::process;
use tests::psql::clean;
use tests::say::say;
use tests::vault::Vault;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => demonstrate(false),
        ["--keep"] => demonstrate(true),
        _ => Err(Failure::new("usage: cargo demo [--keep]")),
    };
    places::remove_run();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(failure.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Everybody needs a password, whatever way they come.
const RULES: &str = "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n";

fn demonstrate(keep: bool) -> Result<()> {
    // The servers and the broker end with us.
    interrupt::watch(|| {
        places::remove_run();
        std::process::exit(i32::from(interrupt::EXIT_CODE));
    })?;
    obtain(&[Part::Postgres])?;
    say("Building the broker …");
    broker::build("--color=auto")?;

    say("");
    say("1. A PostgreSQL server, just made. Its user `shop` has a random password.");
    let installation = Installation::of_distribution()?;
    let options =
        Options { rules: Some(RULES.to_owned()), password: Some(unguessable()), ..Options::default() };
    let cluster = Cluster::start(&installation, &options)?;
    let login = Login { name: "shop".to_owned(), password: unguessable() };
    cluster.sql(&format!(
        "CREATE ROLE shop LOGIN PASSWORD '{}'; CREATE DATABASE shop OWNER shop;",
        login.password
    ))?;

    say("2. The password goes into the broker's vault, a sealed file. The broker's configuration names it:");
    let vault = Vault::new()?;
    set(&vault, &login.password)?;
    let mut file = File::new()?;
    let service = Service { listen: Listen::Tcp(ports::free()), ..pg("shop", &cluster, &login) };
    let service = service.credential("password", Value::From("local", SECRET.to_owned()));
    file.services.push(service.clone());
    say("");
    for line in file.text().lines() {
        say(format!("     {line}"));
    }
    let config = file.write()?;
    let broker =
        Broker::launch_with(vault.tell(&mut broker::command(&config)?), file.admin(), config.clone())?;
    broker.wait_until_ready()?;

    say("");
    say("3. Without the broker, without a password:");
    let direct = Listen::Tcp(cluster.port);
    show(&installation, &direct, "shop", "SELECT 'hello'", false)?;
    say("");
    say("4. Through the broker, as anybody, without a password:");
    let question = "SELECT current_user AS logged_in_as, current_database() AS database";
    show(&installation, &service.listen, "anybody", question, true)?;

    say("");
    say("5. The password changes, on the server and in the vault. The application does not notice:");
    let next = unguessable();
    cluster.sql(&format!("ALTER ROLE shop PASSWORD '{next}'"))?;
    set(&vault, &next)?;
    show(&installation, &service.listen, "anybody", "SELECT 'still served' AS with_the_new_password", true)?;

    if keep {
        wait_for_enter(&service, &broker, &vault)?;
    }
    broker.stop()?;
    say("");
    say("Done; everything is stopped and removed. `cargo demo --keep` lets you play with it.");
    Ok(())
}

/// The password's name in the vault.
const SECRET: &str = "shop-password";

/// Sets the password, as a person would.
fn set(vault: &Vault, password: &str) -> Result<()> {
    say("");
    say(format!("   $ secretless-broker secret set {SECRET}"));
    for line in vault.set(SECRET, password)?.lines() {
        say(format!("     {line}"));
    }
    Ok(())
}

/// Shows a psql command and what comes of it, which must be as `works` says.
fn show(installation: &Installation, listen: &Listen, user: &str, sql: &str, works: bool) -> Result<()> {
    let (host, port) = listen.host_and_port();
    let arguments =
        ["--no-password", "--host", &host, "--port", &port, "--username", user, "--dbname", "shop"];
    let mut psql = Command::new(installation.program("psql"));
    clean(&mut psql).arg("--no-psqlrc").args(arguments).args(["--command", sql]);
    say("");
    say(format!("   $ psql {} --command \"{sql}\"", arguments.join(" ")));
    let finished = process::run(&mut psql)?;
    for line in finished.stdout.lines().chain(finished.stderr.lines()) {
        say(format!("     {line}"));
    }
    if finished.status.success() == works {
        Ok(())
    } else {
        Err(Failure::new(format!("this was expected to {}", if works { "work" } else { "be refused" })))
    }
}

/// Leaves everything running. Ctrl-C works too: servers and broker end with the process that started them.
fn wait_for_enter(service: &Service, broker: &Broker, vault: &Vault) -> Result<()> {
    let (host, port) = service.listen.host_and_port();
    say("");
    say("Everything keeps running:");
    say(format!("   psql --host {host} --port {port} --username anybody --dbname shop"));
    say(format!("   curl http://{}/ready        also /live, /metrics", broker.admin()));
    say(format!("   the configuration: {}", broker.config().display()));
    say(format!("   the vault and its key: {}, {}", vault.vault.display(), vault.key.display()));
    if !io::stdin().is_terminal() {
        say("Ctrl-C ends it.");
        while broker.process().wait_within(tests::wait::GENEROUS).is_none() {}
        return Ok(());
    }
    let _ = write!(io::stderr(), "Enter ends it. ");
    io::stdin().lock().read_line(&mut String::new()).doing("read from the terminal").map(drop)
}
