//! Names to addresses: by the system's name servers and hosts file, or from a fixed table.
//!
//! Promises nothing about the addresses: [`crate::Guard`] decides which of them may be used.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use parking_lot::Mutex;

use crate::{FetchError, StartError};

/// Two tries fit into the usual `connect_timeout`.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);
const QUERY_TRIES: usize = 2;
const LONGEST_TTL: Duration = Duration::from_secs(300);
const LONGEST_NEGATIVE_TTL: Duration = Duration::from_secs(30);

/// Looks up the addresses of names.
#[derive(Clone)]
pub struct Resolver(Source);

#[derive(Clone)]
enum Source {
    System(Box<TokioResolver>),
    Fixed(Arc<Table>),
}

/// The answers of each name, given one after the other; the last one stays.
struct Table(Mutex<HashMap<String, VecDeque<Vec<IpAddr>>>>);

impl Resolver {
    /// The name servers and the hosts file of this machine. Needs a Tokio runtime.
    pub fn system() -> Result<Self, StartError> {
        let mut builder = TokioResolver::builder_tokio()?;
        let options = builder.options_mut();
        options.timeout = QUERY_TIMEOUT;
        options.attempts = QUERY_TRIES;
        options.use_hosts_file = ResolveHosts::Always;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.positive_max_ttl = Some(LONGEST_TTL);
        options.negative_max_ttl = Some(LONGEST_NEGATIVE_TTL);
        Ok(Self(Source::System(Box::new(builder.build()?))))
    }

    /// A fixed table, and no name server. Entries of the same name are its successive answers (a rebinding host).
    pub fn fixed<N, A>(answers: impl IntoIterator<Item = (N, A)>) -> Self
    where
        N: Into<String>,
        A: Into<Vec<IpAddr>>,
    {
        let mut table: HashMap<String, VecDeque<Vec<IpAddr>>> = HashMap::new();
        for (name, addresses) in answers {
            table.entry(name.into()).or_default().push_back(addresses.into());
        }
        Self(Source::Fixed(Arc::new(Table(Mutex::new(table)))))
    }

    /// All addresses of `name`, never an empty list.
    pub(crate) async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, FetchError> {
        let addresses: Vec<IpAddr> = match &self.0 {
            Source::Fixed(table) => table.next(name).ok_or(FetchError::Dns { transient: false })?,
            Source::System(resolver) => {
                // The dot keeps the search list out: `a.b` must not become `a.b.svc.cluster.local`.
                let absolute = format!("{}.", name.trim_end_matches('.'));
                resolver.lookup_ip(absolute).await.map_err(|error| failure(&error))?.iter().collect()
            }
        };
        if addresses.is_empty() { Err(FetchError::Dns { transient: false }) } else { Ok(addresses) }
    }
}

impl Table {
    fn next(&self, name: &str) -> Option<Vec<IpAddr>> {
        let mut table = self.0.lock();
        let answers = table.get_mut(name.trim_end_matches('.'))?;
        if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
    }
}

/// Only a name server that says "no such name" or "no address" is final.
fn failure(error: &NetError) -> FetchError {
    let is_final = match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError)
        }
        // Not a name at all: a label of 64 bytes, for instance.
        NetError::Proto(_) => true,
        _ => false,
    };
    FetchError::Dns { transient: !is_final }
}
