//! Which Chromium, and with which flags.
//!
//! The flags are an own list, because the usual ones of automation libraries turn protections off (popup blocking, IPC
//! flooding protection). The way to the network is left to libs/egress.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::Config;

/// Where Chromium usually is. The headless shell comes first: it is faster and half as large.
const PLACES: &[&str] = &[
    "/usr/lib/chromium/chromium-headless-shell",
    "/usr/lib64/chromium-browser/headless_shell",
    "/usr/bin/chromium-headless-shell",
    "/usr/bin/chrome-headless-shell",
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome-stable",
    "/usr/bin/google-chrome",
    "/opt/google/chrome/chrome",
];
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a Chromium is, if there is one in the usual places.
#[must_use]
pub fn find_chromium() -> Option<PathBuf> {
    executable(Path::new("")).ok()
}

/// A Chromium that can be started.
#[derive(Debug, Clone)]
pub(super) struct Chromium {
    /// Its path.
    pub(super) path: PathBuf,
    /// Its major version, e.g. `156`; 0 if it does not tell.
    pub(super) major: u32,
    /// Whether its sandbox will be on.
    pub(super) sandbox: bool,
}

impl Chromium {
    /// Finds a Chromium, or says in words for the operator why there is none to use.
    pub(super) async fn find(config: &Config, root: bool) -> Result<Self, String> {
        if !config.enabled {
            return Err("off by configuration".to_owned());
        }
        let path = executable(&config.executable)?;
        if root && config.sandbox {
            return Err("Chromium's sandbox does not work as root: run as another user, or set browser.sandbox = false \
                        where something else contains it"
                .to_owned());
        }
        let output = Command::new(&path).arg("--version").kill_on_drop(true).output();
        let output = match tokio::time::timeout(VERSION_TIMEOUT, output).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(format!("{} cannot be started: {}", path.display(), error.kind())),
            Err(_) => return Err(format!("{} does not tell its version", path.display())),
        };
        let major = major(&String::from_utf8_lossy(&output.stdout)).unwrap_or_default();
        Ok(Self { path, major, sandbox: config.sandbox })
    }

    /// What ListWorkers shows.
    pub(super) fn detail(&self) -> String {
        format!("Chromium {}, sandbox {}", self.major, if self.sandbox { "on" } else { "off" })
    }

    /// Its command line for one browser.
    pub(super) fn arguments(
        &self,
        config: &Config,
        agent: &str,
        profile: &Path,
        proxy: SocketAddr,
    ) -> Vec<String> {
        let mut flags: Vec<String> = FLAGS.iter().map(|&flag| flag.to_owned()).collect();
        flags.push(format!("user-data-dir={}", profile.display()));
        flags.push(format!("window-size={},{}", config.viewport_width, config.viewport_height));
        flags.push(format!("user-agent={}", self.user_agent(agent)));
        if !self.sandbox {
            flags.push("no-sandbox".to_owned());
        }
        if config.isolate_sites {
            flags.push("site-per-process".to_owned());
        }
        flags.extend(egress::chromium_flags(proxy));
        flags.into_iter().map(|flag| format!("--{flag}")).chain(["about:blank".to_owned()]).collect()
    }

    /// What browsers call themselves, and who we are: sites that sort by browser work, and ours is no secret.
    pub(super) fn user_agent(&self, agent: &str) -> String {
        let version = self.major;
        format!(
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 \
             Safari/537.36 {agent}"
        )
    }
}

const FLAGS: &[&str] = &[
    "headless",
    "remote-debugging-port=0",
    "remote-debugging-address=127.0.0.1",
    "no-first-run",
    "no-default-browser-check",
    // Containers have 64 MiB of /dev/shm.
    "disable-dev-shm-usage",
    "disable-gpu",
    "disable-breakpad",
    "disable-crash-reporter",
    "disable-component-update",
    "disable-default-apps",
    "disable-sync",
    "disable-extensions",
    "disable-client-side-phishing-detection",
    "disable-domain-reliability",
    // A URL is fetched as it was given, and nothing is asked of Google's servers.
    "disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,Translate,OptimizationHints,MediaRouter,\
     DialMediaRouteProvider,AutofillServerCommunication,CertificateTransparencyComponentUpdater,InterestFeedContentSuggestions",
    "metrics-recording-only",
    "password-store=basic",
    "use-mock-keychain",
    "mute-audio",
    "hide-scrollbars",
    "force-color-profile=srgb",
    "lang=en-US",
    // Tabs work side by side; none of them is "in the background".
    "disable-background-timer-throttling",
    "disable-backgrounding-occluded-windows",
    "disable-renderer-backgrounding",
    "js-flags=--max-old-space-size=512",
    "block-new-web-contents",
    "deny-permission-prompts",
];

fn executable(configured: &Path) -> Result<PathBuf, String> {
    if !configured.as_os_str().is_empty() {
        let found = configured.is_file().then(|| configured.to_owned());
        return found.ok_or_else(|| format!("no Chromium found: {} is not a file", configured.display()));
    }
    let found = PLACES.iter().map(PathBuf::from).find(|place| place.is_file());
    found.ok_or_else(|| {
        "no Chromium found: install chromium-headless-shell, or set browser.executable".to_owned()
    })
}

/// The first number of `Chromium 156.0.7200.1 built on Debian` and the like.
fn major(version: &str) -> Option<u32> {
    let word = version.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    word.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read() {
        for (text, expected) in [
            ("Chromium 156.0.7200.1 built on Debian GNU/Linux 12 (bookworm)\n", Some(156)),
            ("Google Chrome 150.1.2.3 ", Some(150)),
            ("HeadlessChrome", None),
            ("", None),
        ] {
            assert_eq!(major(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_flags_hold_what_keeps_us_safe() {
        let chromium = Chromium { path: PathBuf::new(), major: 156, sandbox: true };
        let config = crate::tests::config("").browser;
        let arguments = chromium.arguments(
            &config,
            "bot/1",
            Path::new("/profile"),
            SocketAddr::from(([127, 0, 0, 1], 9)),
        );
        let has = |flag: &str| arguments.iter().any(|argument| argument.starts_with(flag));
        assert!(has("--proxy-server=http://127.0.0.1:9") && has("--proxy-bypass-list=<-loopback>"));
        assert!(has("--user-data-dir=/profile") && has("--window-size=1280,800"));
        assert!(
            !has("--no-sandbox") && !has("--disable-popup-blocking") && !has("--ignore-certificate-errors")
        );
        assert!(arguments.iter().any(|a| a.contains("Chrome/156.0.0.0") && a.ends_with("bot/1")));
        assert!(arguments.iter().all(|argument| !argument.starts_with("--remote-allow-origins")));
    }
}
