//! How pages of a job are asked for: what is sent beside our own headers, and to whom; which stored page may be used again.

use std::time::Duration;

use api::job::v1::{FetchOptions, fetch_options::Proxy};
use domain::{PageUrl, ProxyServer};
use egress::{Credentials, Relay};

/// Options of the requests of a job.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Manners {
    /// Names in lower case; cookies are in it as `cookie`.
    headers: Vec<(String, String)>,
    hosts: Vec<String>,
    /// How old a stored page may be that is used again. `None`: none is used, and none is kept for it.
    pub(crate) max_age: Option<Duration>,
    /// The proxy that everything goes through, in both lanes.
    pub(crate) relay: Option<Relay>,
}

impl Manners {
    /// Reads the options as the job service has checked them. `None`: it has a proxy that cannot be read, and without it
    /// nothing may be fetched.
    pub(crate) fn read(options: &FetchOptions) -> Option<Self> {
        let mut headers: Vec<(String, String)> =
            options.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        headers.sort();
        if !options.cookies.is_empty() {
            let pairs = options.cookies.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value));
            headers.push(("cookie".to_owned(), pairs.collect::<Vec<_>>().join("; ")));
        }
        if !options.user_agent.is_empty() {
            headers.push(("user-agent".to_owned(), options.user_agent.clone()));
        }
        let max_age = options.cache.as_ref().and_then(|cache| cache.max_age);
        let max_age = max_age.and_then(|age| Duration::try_from(age).ok());
        let relay = match &options.proxy {
            Some(proxy) => Some(relay(proxy)?),
            None => None,
        };
        Some(Self { headers, hosts: options.hosts.clone(), max_age, relay })
    }

    /// Whether something is sent that a browser would not send.
    pub(crate) fn sends(&self) -> bool {
        !self.headers.is_empty()
    }

    /// What is sent with a request for this URL: a link may lead to anybody, and credentials are not for anybody.
    pub(crate) fn headers_for(&self, url: &PageUrl) -> Vec<(String, String)> {
        let host = url.as_url().host_str().unwrap_or_default();
        let known = self.hosts.iter().any(|known| known == host);
        self.headers.iter().filter(|(name, _)| known || name == "user-agent").cloned().collect()
    }

    /// The key of a stored page: pages that were asked for in different ways are different pages.
    pub(crate) fn key(&self, url: &PageUrl) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let mut part = |text: &str| {
            // The length parts what is hashed.
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        };
        part(url.as_str());
        for (name, value) in self.headers_for(url) {
            part(&name);
            part(&value);
        }
        if let Some(relay) = &self.relay {
            part("proxy");
            part(&relay.server().to_string());
            // Many proxies are told in the user name which country to ask from.
            part(relay.username());
        }
        hasher.finalize().into()
    }
}

fn relay(proxy: &Proxy) -> Option<Relay> {
    let server = ProxyServer::parse(&proxy.server).ok()?;
    let given = !proxy.username.is_empty();
    let credentials = || Credentials { username: proxy.username.clone(), password: proxy.password.clone() };
    Some(Relay::new(server, given.then(credentials)))
}

impl std::fmt::Debug for Manners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manners").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use api::job::v1::fetch_options::Cookie;

    use super::*;

    #[test]
    fn credentials_go_to_the_named_hosts_only() {
        let url = |text: &str| PageUrl::parse(text).unwrap();
        let cookie = |name: &str, value: &str| Cookie { name: name.into(), value: value.into() };
        let manners = Manners::read(&FetchOptions {
            headers: [("authorization".to_owned(), "secret".to_owned())].into(),
            cookies: vec![cookie("a", "1"), cookie("b", "2")],
            user_agent: "me/1".into(),
            hosts: vec!["example.com".into()],
            cache: None,
            proxy: None,
        })
        .unwrap();
        let names =
            |text: &str| manners.headers_for(&url(text)).into_iter().map(|it| it.0).collect::<Vec<_>>();
        assert_eq!(names("https://example.com/x"), ["authorization", "cookie", "user-agent"]);
        for other in ["https://www.example.com/", "https://example.com.evil.example/", "https://example.org/"]
        {
            assert_eq!(names(other), ["user-agent"], "{other}");
        }
        assert_eq!(manners.headers_for(&url("https://example.com/"))[1].1, "a=1; b=2");
        assert!(manners.sends() && !format!("{manners:?}").contains("secret"));
        let page = url("https://example.com/");
        assert_ne!(manners.key(&page), Manners::default().key(&page));
    }

    #[test]
    fn a_proxy_is_read_or_nothing_is() {
        let read = |server: &str, username: &str| {
            let proxy =
                Some(Proxy { server: server.into(), username: username.into(), password: "p".into() });
            Manners::read(&FetchOptions { proxy, ..FetchOptions::default() })
        };
        assert!(read("p.example", "").is_none() && read("http://p.example:1", "").is_none());
        let (germany, france) =
            (read("http://p.example:3128", "de").unwrap(), read("http://p.example:3128", "fr").unwrap());
        let page = PageUrl::parse("https://example.com/").unwrap();
        assert_ne!(germany.key(&page), france.key(&page));
        assert_ne!(germany.key(&page), Manners::default().key(&page));
        assert!(!germany.sends(), "a browser can go through it, too");
    }
}
