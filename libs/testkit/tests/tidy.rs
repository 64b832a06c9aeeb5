//! Keeps the layout true: who may depend on what, small `main.rs`, a first line for each file, every reason documented.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// Which of our crates a crate may depend on (DESIGN.md section 3). Dev-dependencies are free.
const LAYERS: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("domain", &[]),
    ("mesh", &["api", "domain"]),
    ("queue", &["domain"]),
    ("store", &[]),
    ("fuzz", &[]),
    ("egress", &["domain"]),
    ("extract", &["api", "domain"]),
    ("auth", &["api", "domain", "mesh", "store"]),
    ("job", &["api", "domain", "extract", "mesh", "queue", "store"]),
    ("crawler", &["api", "domain", "egress", "extract", "mesh", "queue", "store"]),
    ("result", &["api", "domain", "mesh", "store"]),
    ("webhook", &["api", "domain", "egress", "mesh", "queue", "store"]),
    ("gateway", &["api", "domain", "mesh"]),
    (
        "standalone",
        &[
            "api", "auth", "crawler", "domain", "extract", "gateway", "job", "mesh", "queue", "result",
            "webhook",
        ],
    ),
    ("testkit", &["api", "domain", "mesh", "queue", "standalone", "store"]),
    ("loadtest", &["api", "crawler", "domain", "egress", "extract", "mesh", "queue", "store"]),
];

/// Crates of others that only these may depend on.
const DOORS: &[(&str, &[&str])] = &[
    ("async-nats", &["queue"]),
    ("reqwest", &["egress", "testkit"]),
    ("hickory-resolver", &["egress"]),
    ("robotxt", &["egress"]),
    ("lopdf", &["extract"]),
    ("adblock", &["crawler"]),
    ("chromiumoxide", &["crawler", "loadtest"]),
    ("sea-orm", &["store", "auth", "job", "result", "webhook"]),
    ("sea-orm-migration", &["store", "auth", "job", "result", "webhook"]),
    ("object_store", &["result"]),
    ("axum", &["gateway", "testkit", "loadtest"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("because the workspace is there")
}

fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("because cargo runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("because cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("because it lists packages");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("because it lists dependencies");
            let normal = dependencies.iter().filter(|dependency| dependency["kind"].is_null());
            (text(&package["name"]), normal.map(|dependency| text(&dependency["name"])).collect())
        })
        .collect()
}

#[test]
fn dependencies_point_one_way() {
    let all = dependencies();
    let layers: BTreeMap<_, _> = LAYERS.iter().copied().collect();
    for (name, dependencies) in &all {
        let allowed = layers.get(name.as_str()).unwrap_or_else(|| panic!("{name} is not in LAYERS"));
        for dependency in dependencies {
            if all.contains_key(dependency) {
                assert!(allowed.contains(&dependency.as_str()), "{name} must not depend on {dependency}");
            }
            for (door, keepers) in DOORS {
                assert!(
                    dependency != door || keepers.contains(&name.as_str()),
                    "{name} must not depend on {door}"
                );
            }
        }
    }
}

#[test]
fn versions_stand_in_one_place() {
    for folder in ["libs", "services"] {
        for entry in fs::read_dir(root().join(folder)).expect("because it is there") {
            let manifest = entry.expect("because it can be listed").path().join("Cargo.toml");
            let text = fs::read_to_string(&manifest).expect("because each crate has a manifest");
            let has_version = text.lines().any(|line| line.contains("version = \""));
            assert!(!has_version, "{} holds a version number", manifest.display());
        }
    }
}

fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root().join("libs"), root().join("services")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("because it is there") {
            let path = entry.expect("because it can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

#[test]
fn each_file_says_what_it_is_for() {
    for path in sources() {
        let text = fs::read_to_string(&path).expect("because it can be read");
        assert!(text.starts_with("//!"), "{} does not begin with what it is for", path.display());
    }
}

#[test]
fn each_main_is_small() {
    for path in sources().into_iter().filter(|path| path.ends_with("src/main.rs")) {
        let lines = fs::read_to_string(&path).expect("because it can be read").lines().count();
        assert!(lines <= 15, "{} has {lines} lines", path.display());
    }
}

/// Words in capitals that are no reasons: gRPC codes, Chromium's network errors, environment variables.
const NO_REASON: &[&str] = &["CRAWLMESH_", "ERR_", "FUZZ_", "XDG_", "CARGO_", "OUT_DIR"];
const CODES: &[&str] = &[
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "DATA_LOSS",
];

/// Words in capitals that a client may get as `reason` are literals of the form `"JOB_NOT_FOUND"` in non-test sources.
#[test]
fn each_reason_is_documented() {
    let documented = fs::read_to_string(root().join("docs/errors.md")).expect("because it is there");
    let mut missing = BTreeSet::new();
    for path in sources() {
        let shown = path.to_string_lossy();
        if !shown.contains("/src/") || shown.contains("testkit") || shown.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("because it can be read");
        let production = text.split("#[cfg(test)]").next().unwrap_or_default();
        for literal in production.split('"').skip(1).step_by(2) {
            let reason = literal.len() > 5
                && literal.contains('_')
                && literal.starts_with(|first: char| first.is_ascii_uppercase())
                && !NO_REASON.iter().any(|start| literal.starts_with(start))
                && !CODES.contains(&literal)
                && literal
                    .bytes()
                    .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
            if reason && !documented.contains(&format!("`{literal}`")) {
                missing.insert(format!("{literal} in {shown}"));
            }
        }
    }
    assert!(missing.is_empty(), "not in docs/errors.md: {missing:#?}");
}

/// Rows of the fault matrix that concern job, crawler, queue, result and store.
fn in_matrix(row: u32) -> bool {
    (1..=32).contains(&row) || (64..=70).contains(&row) || row == 74
}

/// The names of tests in a text: words that begin with `row_` and a number.
fn row_tests(text: &str) -> BTreeSet<String> {
    let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let numbered = |name: &&str| {
        name.strip_prefix("row_").is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()))
    };
    text.split(|letter| !word(letter)).filter(numbered).map(str::to_owned).collect()
}

/// The rows that a test names: `row_02_16_…` two of them.
fn rows_of(test: &str) -> Vec<u32> {
    test.split('_').skip(1).map_while(|part| part.parse().ok()).collect()
}

#[test]
fn each_row_of_the_fault_matrix_names_its_tests() {
    let text = fs::read_to_string(root().join("docs/faults.md")).expect("because it is there");
    let mut written = BTreeSet::new();
    for path in sources() {
        let source = fs::read_to_string(&path).expect("because it can be read");
        for line in source.lines().filter(|line| line.contains("fn row_")) {
            written.extend(row_tests(line));
        }
    }
    written.retain(|test| rows_of(test).into_iter().any(in_matrix));
    assert_eq!(row_tests(&text), written, "docs/faults.md names the tests that there are");
    for row in (0..100).filter(|row| in_matrix(*row)) {
        let line = text.lines().find(|line| line.starts_with(&format!("| {row} |")));
        let line = line.unwrap_or_else(|| panic!("row {row} is missing"));
        let tests = row_tests(line);
        assert!(tests.iter().all(|test| rows_of(test).contains(&row)), "row {row}: {tests:?}");
        assert!(!tests.is_empty() || line.contains("| none: "), "row {row} has no test");
    }
}
