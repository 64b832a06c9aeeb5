//! The rules of layering and of naming problems.

use std::{collections::BTreeSet, fs, path::Path};

use toml::{Table, Value};

use super::*;

const DEFAULTS: &str = concat!(
    include_str!("../../config.sections.toml"),
    "[database]\nurl = \"sqlite::memory:\"\npool = 4\nwait = \"2s\"\nratio = 0.5\npassword = \"\"\nallow = []\nports = [1, 2]\n"
);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    server: Server,
    tls: Tls,
    telemetry: Telemetry,
    peers: Peers,
    database: Database,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Database {
    url: String,
    pool: u32,
    #[serde(with = "humantime_serde")]
    wait: std::time::Duration,
    ratio: f64,
    password: Secret,
    allow: Vec<String>,
    ports: Vec<u16>,
}

impl Config for Example {
    const SERVICE: domain::Service = domain::Service::Job;
    const DEFAULTS: &'static str = DEFAULTS;

    fn server(&self) -> &Server {
        &self.server
    }
    fn tls(&self) -> &Tls {
        &self.tls
    }
    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }
    fn peers(&self) -> &Peers {
        &self.peers
    }
    fn validate(&self, problems: &mut Problems) {
        if self.database.pool == 0 {
            problems.add("database.pool", "must be at least 1");
        }
    }
}

fn env(pairs: &[(&str, &str)]) -> std::vec::IntoIter<(String, String)> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>().into_iter()
}

fn problems(file: Option<&str>, pairs: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.toml");
    if let Some(text) = file {
        fs::write(&path, text).unwrap();
    }
    load::<Example>(file.map(|_| path.as_path()), env(pairs)).unwrap_err().to_string()
}

#[test]
fn the_defaults_are_valid() {
    let config = load::<Example>(None, env(&[])).unwrap();
    assert_eq!(config.server.max_message_bytes(), 4 << 20);
    assert_eq!(config.peers.address(domain::Service::Result), Some("127.0.0.1:8704"));
    assert_eq!(config.database.wait.as_secs(), 2);
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.toml");
    fs::write(&path, "[database]\nurl = \"file\"\npool = 7\nratio = 1\n").unwrap();
    let env = env(&[("JOB__DATABASE__POOL", "9"), ("AUTH__DATABASE__POOL", "x"), ("PATH", "/bin")]);
    let config = load::<Example>(Some(&path), env).unwrap();
    assert_eq!((config.database.url.as_str(), config.database.pool), ("file", 9));
    assert!((config.database.ratio - 1.0).abs() < f64::EPSILON, "a whole number stands for a fraction");
}

#[test]
fn variables_are_read_by_the_type_of_their_default() {
    let config = load::<Example>(
        None,
        env(&[
            ("JOB__SERVER__REFLECTION", "false"),
            ("JOB__DATABASE__WAIT", "1m 30s"),
            ("JOB__DATABASE__PASSWORD", "123"),
            ("JOB__DATABASE__ALLOW", "a, b"),
            ("JOB__DATABASE__PORTS", "[80, 443]"),
        ]),
    )
    .unwrap();
    assert!(!config.server.reflection);
    assert_eq!(config.database.wait.as_secs(), 90);
    assert_eq!(config.database.password.expose(), "123", "a text that looks like a number stays a text");
    assert_eq!(config.database.allow, ["a", "b"]);
    assert_eq!(config.database.ports, [80, 443]);
    let commas = load::<Example>(None, env(&[("JOB__DATABASE__PORTS", "1,2,3")])).unwrap();
    assert_eq!(commas.database.ports, [1, 2, 3]);
}

#[test]
fn all_problems_are_told_at_once() {
    let file = "unknown = 1\n[server]\nlisten = 5\ngrace = \"soon\"\n[database]\npol = 1\npool = 0\n";
    let env = [("JOB__DATABASE__RATIO", "many"), ("JOB__NOTHING__HERE", "1"), ("JOB__DATABASE", "x")];
    let text = problems(Some(file), &env);
    for part in [
        "unknown (from",
        "server.listen (from",
        "server.grace (from",
        "database.pol (from",
        "database.pool must be at least 1",
        "JOB__DATABASE__RATIO must be a number",
        "JOB__NOTHING__HERE is not a setting",
        "JOB__DATABASE is not a setting",
    ] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
    assert_eq!(text.lines().count(), 9, "{text}");
}

#[test]
fn contradictions_are_told_by_key() {
    for (name, value, part) in [
        ("JOB__SERVER__MAX_CONCURRENT_CALLS", "0", "server.max_concurrent_calls must"),
        ("JOB__SERVER__MAX_MESSAGE_SIZE", "1B", "server.max_message_size must"),
        ("JOB__SERVER__DEFAULT_DEADLINE", "1h", "server.default_deadline must"),
        ("JOB__SERVER__LISTEN", "", "server.listen must"),
        ("JOB__TLS__CA_FILE", "ca.crt", "tls needs all"),
        ("JOB__TELEMETRY__TRACE_SAMPLE_RATIO", "2", "telemetry.trace_sample_ratio must"),
        ("JOB__TELEMETRY__LOG_FORMAT", "xml", "telemetry.log_format (from JOB__TELEMETRY__LOG_FORMAT)"),
        ("JOB__TELEMETRY__OTLP_ENDPOINT", "jaeger:4317", "telemetry.otlp_endpoint must"),
        ("JOB__TELEMETRY__LOG_FILTER", "a=b=c", "telemetry.log_filter"),
        ("JOB__PEERS__AUTH", "nowhere", "peers.auth must"),
        ("JOB__PEERS__CONNECT_TIMEOUT", "0s", "peers.connect_timeout must"),
    ] {
        let text = problems(None, &[(name, value)]);
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}

#[test]
fn a_file_that_cannot_be_used_is_a_problem_and_its_text_stays_secret() {
    assert!(problems(Some("[database]\npassword = hunter2\n"), &[]).contains("is not TOML"));
    assert!(!problems(Some("[database]\npassword = hunter2\n"), &[]).contains("hunter2"));
    let missing = load::<Example>(Some(Path::new("nowhere.toml")), env(&[])).unwrap_err().to_string();
    assert!(missing.contains("nowhere.toml cannot be read"), "{missing}");
}

#[test]
fn an_overlay_is_checked_like_a_file() {
    let overlay = |text: &str| text.parse::<Table>().unwrap();
    let config = with::<Example>(overlay("[database]\npool = 2\n")).unwrap();
    assert_eq!(config.database.pool, 2);
    assert!(with::<Example>(overlay("[database]\npool = \"2\"\n")).is_err());
    assert!(with::<Example>(overlay("[database]\npools = 2\n")).is_err());
}

#[test]
fn a_secret_is_not_shown() {
    assert_eq!(format!("{:?}", Secret::new("hunter2")), "***");
}

/// Each service documents the shared keys in its own defaults; they must stay the same keys.
#[test]
fn the_services_have_the_shared_keys() {
    let keys = |table: &Table, section: &str| -> BTreeSet<String> {
        table.get(section).and_then(Value::as_table).map(|t| t.keys().cloned().collect()).unwrap_or_default()
    };
    let shared: Table = SECTIONS.parse().unwrap();
    let services = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../services");
    for entry in fs::read_dir(services).unwrap() {
        let file = entry.unwrap().path().join("config.default.toml");
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let table: Table = text.parse().unwrap_or_else(|error: toml::de::Error| {
            panic!("{} is not TOML: {}", file.display(), error.message())
        });
        if !table.contains_key("server") {
            continue;
        }
        for section in ["server", "tls", "telemetry", "peers"] {
            let missing: Vec<_> =
                keys(&shared, section).difference(&keys(&table, section)).cloned().collect();
            assert!(missing.is_empty(), "{} lacks {missing:?} in [{section}]", file.display());
        }
    }
}
