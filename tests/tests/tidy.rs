//! Style that can be checked by reading the files: each check names the rule, the file and the line.
//!
//! Lists of exceptions only ever shrink: an entry that is no longer needed fails the check, too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tests::places;

/// A file longer than this, its tests not counted, is hard to hold in mind.
const LINES_SMELL: usize = 400;

/// A file longer than this is split before it is merged.
const LINES_MAX: usize = 800;

/// Files over [`LINES_SMELL`] lines and how long each may be. Shrinks only.
const LONG_FILES: &[(&str, usize)] = &[];

/// The only place for `unsafe`.
const UNSAFE_HOME: &str = "dataplane/src/io/";

#[test]
fn every_source_file_opens_by_saying_what_it_owns() {
    let silent = sources().into_iter().filter(|file| !file.text.starts_with("//! "));
    refuse("open the file with `//!`: what it owns, what it must never know", silent.map(|file| file.path));
}

#[test]
fn no_file_is_too_long() {
    let mut wrong = Vec::new();
    let allowed: BTreeMap<&str, usize> = LONG_FILES.iter().copied().collect();
    for file in sources() {
        let lines = file.text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        let limit = allowed.get(file.path.as_str()).copied();
        if lines > limit.unwrap_or(LINES_SMELL).min(LINES_MAX) {
            wrong.push(format!("{}: {lines} lines", file.path));
        } else if limit.is_some() && lines <= LINES_SMELL {
            wrong.push(format!("{}: no longer long, take it off LONG_FILES", file.path));
        }
    }
    let files: BTreeSet<String> = sources().into_iter().map(|file| file.path).collect();
    wrong
        .extend(allowed.keys().filter(|path| !files.contains(**path)).map(|path| format!("{path}: is gone")));
    refuse("split a file before it is hard to read", wrong);
}

#[test]
fn unsafe_code_stays_in_its_folder() {
    let outside = sources().into_iter().filter(|file| !file.path.starts_with(UNSAFE_HOME));
    refuse(
        "only dataplane/src/io may hold `unsafe`, behind functions that cannot be misused",
        lines_with(outside, |line| {
            let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            words.any(|word| word == "unsafe")
        }),
    );
}

#[test]
fn nothing_is_left_for_later_or_switched_off() {
    // Written in two halves, so that this file does not find itself.
    let banned = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("todo", "!("),
        concat!("dbg", "!("),
        concat!("unimplemented", "!("),
        concat!("#[ig", "nore"),
        concat!("#[al", "low"),
        concat!("#![al", "low"),
    ];
    let found = sources().into_iter().flat_map(|file| {
        let lines: Vec<String> = numbered(&file)
            .filter(|(_, line)| banned.iter().any(|word| line.contains(word)))
            .map(|(number, line)| format!("{}:{number}: {}", file.path, line.trim()))
            .collect();
        lines
    });
    refuse("finish it, or write `#[expect(lint, reason)]`", found);
}

#[test]
fn every_protocol_and_provider_is_registered_once_under_a_name_of_its_own() {
    let mut wrong = Vec::new();
    for folder in ["protocol/src/protocols", "controlplane/src/providers"] {
        let Some(registry) = read(&format!("{folder}/mod.rs")) else {
            wrong.push(format!("{folder}/mod.rs: is gone"));
            continue;
        };
        let list =
            registry.split("static ALL").nth(1).and_then(|rest| rest.split(';').next()).unwrap_or_default();
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        for module in modules_of(folder) {
            let declared = registry.lines().filter(|line| *line == format!("mod {module};")).count();
            let listed = list.matches(&format!("&{module}::")).count();
            if (declared, listed) != (1, 1) {
                wrong.push(format!("{folder}/{module}: declared {declared} times, in ALL {listed} times"));
            }
            match name_of(folder, &module) {
                None => wrong.push(format!("{folder}/{module}: no `fn name` that returns a literal")),
                Some(name) => {
                    if let Some(other) = names.insert(name.clone(), module.clone()) {
                        wrong.push(format!("{folder}: {module} and {other} are both called {name:?}"));
                    }
                }
            }
        }
    }
    refuse("a protocol or provider is one file and one registration", wrong);
}

#[test]
fn every_crate_inherits_the_workspace_lints() {
    let manifest = read("Cargo.toml").expect("the workspace has a manifest");
    let members =
        manifest.lines().find_map(|line| line.strip_prefix("members = ")).expect("it lists its members");
    let members: Vec<&str> = members.split('"').skip(1).step_by(2).collect();
    assert!(members.len() >= 5, "read {members:?} as the workspace's members");
    let without = members.iter().filter(|member| {
        !read(&format!("{member}/Cargo.toml")).is_some_and(|text| text.contains("[lints]\nworkspace = true"))
    });
    refuse("write `[lints] workspace = true`", without.map(|member| format!("{member}/Cargo.toml")));
}

#[test]
fn no_text_names_a_place_on_somebodys_machine() {
    let home = std::env::var("HOME").unwrap_or_default() + "/";
    let repository = places::repository().display().to_string();
    // In two halves again.
    let mut places = vec![concat!("/Us", "ers/"), repository.as_str()];
    places.extend(Some(home.as_str()).filter(|home| home.len() > 1));
    let texts = tracked().into_iter().filter_map(|path| read(&path).map(|text| File { path, text }));
    let found = texts.flat_map(|file| {
        let lines: Vec<String> = numbered(&file)
            .filter(|(_, line)| places.iter().any(|place| line.contains(place)))
            .map(|(number, line)| format!("{}:{number}: {}", file.path, line.trim()))
            .collect();
        lines
    });
    refuse("a path of one machine means nothing on another", found);
}

#[test]
fn every_fuzz_target_is_listed_and_has_seeds() {
    let manifest = read("fuzz/Cargo.toml").expect("the fuzz targets are a package");
    let mut wrong = Vec::new();
    let targets: Vec<String> = tracked()
        .iter()
        .filter_map(|path| path.strip_prefix("fuzz/fuzz_targets/")?.strip_suffix(".rs").map(str::to_owned))
        .collect();
    assert!(!targets.is_empty(), "there are fuzz targets");
    for target in &targets {
        let entry = format!("name = \"{target}\"\npath = \"fuzz_targets/{target}.rs\"");
        if !manifest.contains(&entry) {
            wrong.push(format!("{target}: not in fuzz/Cargo.toml"));
        }
        if !tracked().iter().any(|path| path.starts_with(&format!("fuzz/seeds/{target}/"))) {
            wrong.push(format!("{target}: no seed in fuzz/seeds/{target}"));
        }
    }
    let listed = manifest.matches("[[bin]]").count();
    if listed != targets.len() {
        wrong.push(format!("fuzz/Cargo.toml lists {listed} targets, the folder has {}", targets.len()));
    }
    refuse("a fuzz target needs its entry and its seeds", wrong);
}

#[test]
fn every_alias_of_cargo_is_told_in_the_documentation() {
    let config = read(".cargo/config.toml").expect("cargo has a configuration");
    let aliases =
        config.split("[alias]").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap_or_default();
    let aliases: Vec<&str> =
        aliases.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name).collect();
    assert!(aliases.len() >= 5, "read {aliases:?} as the aliases");
    let pages = tracked().into_iter().filter(|path| path.ends_with(".md")).filter_map(|path| read(&path));
    let words: String = pages.collect();
    let untold = aliases.iter().filter(|alias| !words.contains(&format!("cargo {alias}")));
    refuse("a command that nobody is told of is not used", untold.map(|alias| format!("cargo {alias}")));
}

/// A file of the repository.
struct File {
    path: String,
    text: String,
}

/// Every path that git knows or would take, relative to the root.
fn tracked() -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(places::repository())
        .output()
        .expect("git runs");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let paths: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    assert!(paths.iter().any(|path| path == "Cargo.toml"), "git lists the repository");
    paths
}

/// The Rust files.
fn sources() -> Vec<File> {
    let rust = tracked().into_iter().filter(|path| path.ends_with(".rs"));
    rust.filter_map(|path| read(&path).map(|text| File { path, text })).collect()
}

/// A text of the repository; `None` if it is not there (a removal not yet committed) or not text.
fn read(path: &str) -> Option<String> {
    fs::read_to_string(places::repository().join(path)).ok()
}

/// The lines of code: comments are cut off.
fn numbered(file: &File) -> impl Iterator<Item = (usize, &str)> {
    file.text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

fn lines_with(files: impl Iterator<Item = File>, found: impl Fn(&str) -> bool) -> Vec<String> {
    let mut places = Vec::new();
    for file in files {
        for (number, line) in numbered(&file) {
            // Good enough for our code: a string with two slashes hides what follows it on the line.
            let code = line.split("//").next().unwrap_or_default();
            let code: String = code.split('"').step_by(2).collect();
            if found(&code) {
                places.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    places
}

/// The modules of a registry's folder: files, and folders with a `mod.rs`.
fn modules_of(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(places::repository().join(folder)).expect("the registry's folder is there");
    let mut modules: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            let path: PathBuf = entry.path();
            let is_module = path.join("mod.rs").exists() || path.extension().is_some_and(|end| end == "rs");
            let stem = path.file_stem()?.to_str()?.to_owned();
            // Tests beside a long file are `NAME_tests.rs`.
            (is_module && stem != "mod" && !stem.ends_with("tests")).then_some(stem)
        })
        .collect();
    modules.sort();
    modules
}

/// What `fn name` of a module returns.
fn name_of(folder: &str, module: &str) -> Option<String> {
    let text =
        read(&format!("{folder}/{module}.rs")).or_else(|| read(&format!("{folder}/{module}/mod.rs")))?;
    let body = text.split("fn name(&self) -> &'static str {").nth(1)?;
    body.split('"').nth(1).map(str::to_owned)
}

#[track_caller]
fn refuse(rule: &str, findings: impl IntoIterator<Item = String>) {
    let findings: Vec<String> = findings.into_iter().collect();
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}
