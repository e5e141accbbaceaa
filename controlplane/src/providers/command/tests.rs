//! Programs that do what they should, and others.

use super::*;
use crate::settings::Setting;
use crate::testing::block_on;
use crate::values::Value;

fn settings(pairs: &[(&str, &str)]) -> Settings {
    let literal = |text: &str| Setting::Literal(Value::new(Secret::from_heap(text.as_bytes().to_vec())));
    Settings::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), literal(value))))
}

fn ask(pairs: &[(&str, &str)], ids: &[&str]) -> Result<Vec<Vec<u8>>, FetchError> {
    let items = ids.iter().map(|id| Item { id: (*id).into(), raw: false, is_public: false }).collect();
    let fetched = block_on(Command.open(settings(pairs)).fetch(Request::of(items)))?;
    Ok(fetched.values.iter().map(|value| value.expose(<[u8]>::to_vec)).collect())
}

/// A script, run without being asked for by a shell of ours.
fn script(text: &str, id: &str) -> Result<Vec<u8>, FetchError> {
    let mut values = ask(&[(RUN, "/bin/sh"), (RUN, "-c"), (RUN, text), (RUN, "script")], &[id])?;
    Ok(values.remove(0))
}

#[test]
fn a_value_is_what_the_program_prints_for_each_id() {
    let values = ask(&[(RUN, "printf"), (RUN, "%s!\n")], &["a b", "$(id); `id`"]);
    assert_eq!(values, Ok(vec![b"a b!".to_vec(), b"$(id); `id`!".to_vec()]));
    assert_eq!(script("printf 'x\\n\\n'", "y"), Ok(b"x\n".to_vec()), "one newline is the program's");
}

#[test]
fn a_program_gets_no_variable_that_may_hold_a_secret_and_no_input() {
    let said = script("cat; env", "x").map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let said = said.unwrap_or_else(|error| panic!("{error}"));
    assert!(said.contains("PATH="), "{said}");
    // Cargo sets it for every test that it runs.
    assert!(std::env::var_os("CARGO_PKG_NAME").is_some() && !said.contains("CARGO_PKG_NAME"), "{said}");
}

#[test]
fn a_program_that_fails_says_so_without_a_word_of_its_own() {
    let failed = script("echo hunter2 >&2; echo hunter2; exit 3", "x");
    let words =
        "/bin/sh x: exit status: 3; to see what it says, run by hand what `run` has and this behind it";
    assert_eq!(failed, Err(FetchError::Failing(words.into())));
    let missing = ask(&[(RUN, "/nonexistent/program")], &["x"]);
    let words = "/nonexistent/program x: no such file or directory";
    assert_eq!(missing, Err(FetchError::Failing(words.into())));
    assert_eq!(script("true", "x"), Err(FetchError::Empty("/bin/sh x: it printed nothing".into())));
    assert!(matches!(ask(&[], &["x"]), Err(FetchError::Unusable(_))));
}

#[test]
fn a_program_that_does_not_end_is_ended_with_all_that_it_has_started() {
    let dir = crate::testing::TempDir::new();
    let pids = dir.file("pids", "");
    let text = format!("sleep 1000 & echo $$ $! > {}; wait", pids.display());
    let run = [(RUN, "/bin/sh"), (RUN, "-c"), (RUN, text.as_str()), (RUN, "script"), (TIMEOUT, "1")];
    let failed = ask(&run, &["x"]);
    assert_eq!(failed, Err(FetchError::Failing("/bin/sh x: it did not end within 1 s".into())));
    wait_for_end(&pids);
}

/// Waits until the processes whose numbers a script has written there are gone.
fn wait_for_end(pids: &std::path::Path) {
    let pids = std::fs::read_to_string(pids).expect("the script wrote it");
    for pid in pids.split_whitespace() {
        let is_gone = || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            status.map_or(true, |status| status.contains(") Z "))
        };
        while !is_gone() {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_program_that_has_ended_is_not_waited_for_and_leaves_nothing_in_its_group() {
    let dir = crate::testing::TempDir::new();
    let pids = dir.file("pids", "");
    // One that has its output, and one that has not.
    let text = format!("sleep 1000 & sleep 1001 >/dev/null & echo $! > {}; printf value", pids.display());
    assert_eq!(script(&text, "x"), Ok(b"value".to_vec()));
    wait_for_end(&pids);
    let text = format!("sleep 1003 >/dev/null & echo $! > {}; printf value", pids.display());
    assert_eq!(script(&text, "x"), Ok(b"value".to_vec()));
    wait_for_end(&pids);
    // Whoever leaves the group stays, and holds up nothing.
    let pids = dir.file("pids", "");
    let text = format!("setsid sleep 1002 & echo $! > {}; printf value", pids.display());
    assert_eq!(script(&text, "x"), Ok(b"value".to_vec()));
    let pid = std::fs::read_to_string(pids).expect("the script wrote it");
    let pid = pid.trim().parse().ok().and_then(rustix::process::Pid::from_raw).expect("a number");
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

#[test]
fn a_time_from_elsewhere_is_checked_like_one_of_the_file() {
    for (name, value) in [(TIMEOUT, "0"), (TIMEOUT, "18446744073709551615"), (LIFETIME, "soon")] {
        let failed = ask(&[(RUN, "echo"), (name, value)], &["x"]);
        let words = format!("`{name}` is no such time as may stand there");
        assert_eq!(failed, Err(FetchError::Unusable(words)));
    }
}

#[test]
fn a_program_that_hangs_holds_up_no_other_store() {
    let dir = crate::testing::TempDir::new();
    let lock = dir.file("lock", "").display().to_string();
    let hangs = settings(&[
        (RUN, "sh"),
        (RUN, "-c"),
        (RUN, "while [ -e $0 ]; do sleep 0.01; done; echo x"),
        (RUN, &lock),
    ]);
    let (hanging, well) = (Command.open(hangs), Command.open(settings(&[(RUN, "echo")])));
    let item = || Item { id: "x".into(), raw: false, is_public: false };
    block_on(async {
        let stuck: Vec<_> = (0..40).map(|_| tokio::spawn(hanging.fetch(Request::of(vec![item()])))).collect();
        let fetched = well.fetch(Request::of(vec![item()])).await;
        assert!(fetched.is_ok());
        assert!(stuck.iter().all(|task| !task.is_finished()));
        std::fs::remove_file(&lock).expect("it is there");
        for task in stuck {
            assert!(task.await.is_ok_and(|fetched| fetched.is_ok()));
        }
    });
}

#[test]
fn a_program_that_prints_without_end_is_ended() {
    let failed = script("yes", "x");
    assert_eq!(failed, Err(FetchError::Unusable("/bin/sh x: it printed more than 64 KiB".into())));
}

#[test]
fn a_program_is_told_what_its_command_line_names() {
    let run = ["printf", "{port}{host}:%s {username}\\n", "{database}"];
    let settings = settings(&run.map(|word| (RUN, word)));
    let store = Command.open(settings.clone());
    assert_eq!(store.parameters(), ["host", "port", "username"]);
    let line = |host: &str| {
        let parameters = [("host", host), ("port", "5432"), ("username", "me")]
            .map(|(name, value)| (name, value.to_owned()));
        block_on(CommandLine::of(&settings, &parameters.into(), Arc::new(Semaphore::new(1))))
            .map(|line| line.words)
    };
    // A value is no command line itself.
    assert_eq!(
        line("{username}"),
        Ok(["printf", "5432{username}:%s me\\n", "{database}"].map(Into::into).into())
    );
    let item = Item { id: "x".into(), raw: false, is_public: false };
    let parameters =
        [("host", "db"), ("port", "-5"), ("username", "me")].map(|(name, value)| (name, value.to_owned()));
    let refused = block_on(store.fetch(Request { items: vec![item], parameters: parameters.into() }));
    let words = "the service's `port` would be an option of the program";
    assert_eq!(refused.err(), Some(FetchError::Unusable(words.into())));
    assert!(Command.open(Settings::default()).parameters().is_empty());
}

#[test]
fn what_a_program_prints_may_have_a_lifetime() {
    let settings = settings(&[(RUN, "echo"), (LIFETIME, "15m")]);
    let item = Item { id: "x".into(), raw: false, is_public: false };
    let before = clock::now();
    let fetched = block_on(Command.open(settings).fetch(Request::of(vec![item])));
    let fetched = fetched.unwrap_or_else(|error| panic!("{error}"));
    let asked = fetched.usable_until.map(|at| at - Duration::from_secs(900));
    assert!(asked.is_some_and(|asked| before <= asked && asked <= clock::now()));
    assert_eq!(fetched.refetch_at, asked.map(|asked| asked + Duration::from_secs(600)));
    assert!(check_lifetime(b"soon").is_err());
}

#[test]
fn ids_that_would_be_options_are_refused() {
    assert!(Command.check_id("--help").is_err());
    assert!(Command.check_id("").is_err());
    assert_eq!(Command.check_id("db/password"), Ok(()));
}

#[test]
fn names_in_braces_that_mean_nothing_are_found_and_the_programs_own_braces_left_alone() {
    let item = Item { id: "x".to_owned(), raw: false, is_public: false };
    let found = |word: &str| {
        let flaw = Command.open(settings(&[(RUN, "true"), (RUN, word)])).look(&item);
        flaw.map(|flaw| format!("{}; {}", flaw.words, flaw.help)).unwrap_or_default()
    };
    for (word, name) in
        [("--host={hots}", "hots"), ("{password}", "password"), ("{user}", "user"), ("{Port}", "Port")]
    {
        let words = format!("the program is given `{{{name}}}` as it is written; what it can be told");
        assert!(found(word).starts_with(&words), "{word}: {}", found(word));
    }
    for word in [
        "{host}:{port}",
        "{print $1}",
        "a{1,2}",
        "{}",
        "${user} $host",
        "{{range}}",
        "{{user}}",
        "{.Host}",
        "jsonpath={.username}",
        "{{.Host}}",
        "{\"user\": 1}",
        "{",
        "}",
    ] {
        assert_eq!(found(word), "", "{word}");
    }
}

#[test]
fn times_are_written_as_everywhere() {
    for (text, seconds) in [("10", Some(10.0)), ("10s", Some(10.0)), ("1.5s", Some(1.5)), ("5m", Some(300.0))]
    {
        assert_eq!(timeout(text.as_bytes()).map(|time| time.as_secs_f64()), seconds);
    }
    for text in ["0", "999ms", "301", "6m", "soon", ""] {
        assert!(check_timeout(text.as_bytes()).is_err(), "{text}");
    }
    for (text, is_right) in [("4s", true), ("3s", false), ("0", false), ("15m", true), ("25h", false)] {
        assert_eq!(check_lifetime(text.as_bytes()).is_ok(), is_right, "{text}");
    }
}
