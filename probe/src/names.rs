//! A host as written → addresses to connect to.
//!
//! Asked anew for every look: what a name leads to now is part of what is looked at. "There is no such name" is said
//! of the target; a resolver that errs or is silent is ours, and says nothing of it (PROTOCOL.md B.1).

use std::net::{IpAddr, SocketAddr};

use consensus::model::{Fault, FaultKind};
use hickory_resolver::TokioResolver;

use crate::fault::Trouble;
use crate::phases::{Stage, Stopwatch};

/// Addresses of one name that are tried; more would not fit into one look.
const ADDRESS_LIMIT: usize = 4;

/// How names are looked up. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Names {
    resolver: Result<TokioResolver, String>,
}

impl Names {
    /// As this host does: `/etc/resolv.conf` and `/etc/hosts`. Where they cannot be used, only addresses work, and a
    /// look at a name says why.
    pub fn of_host() -> Self {
        let resolver = TokioResolver::builder_tokio().and_then(|mut builder| {
            builder.options_mut().cache_size = 0;
            builder.build()
        });
        Self { resolver: resolver.map_err(|error| error.to_string()) }
    }

    /// With this resolver.
    pub fn by(resolver: TokioResolver) -> Self {
        Self { resolver: Ok(resolver) }
    }

    /// At most [`ADDRESS_LIMIT`] addresses, at least one, all of the source's family.
    pub(crate) async fn find(
        &self,
        host: &str,
        port: u16,
        source: Option<IpAddr>,
        watch: &mut Stopwatch,
    ) -> Result<Vec<SocketAddr>, Trouble> {
        watch.set_peer(format!("`{host}`"));
        let all = match bare(host).parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => {
                watch.enter(Stage::Resolve);
                self.ask(host).await?
            }
        };
        let mut usable: Vec<SocketAddr> = Vec::new();
        for address in all {
            let address = SocketAddr::new(address, port);
            let fits = source.is_none_or(|source| source.is_ipv4() == address.is_ipv4());
            if fits && !usable.contains(&address) && usable.len() < ADDRESS_LIMIT {
                usable.push(address);
            }
        }
        match usable.is_empty() {
            false => Ok(usable),
            true => Err(Trouble::local(format!(
                "`{host}` has no address of the same family as the source address"
            ))),
        }
    }

    async fn ask(&self, host: &str) -> Result<Vec<IpAddr>, Trouble> {
        let ours = |text: String| Trouble::Ours(Fault::new(FaultKind::Resolve, text));
        let resolver = self.resolver.as_ref().map_err(|error| {
            ours(format!("cannot look up `{host}`: no resolver on this host: {error}"))
        })?;
        match resolver.lookup_ip(host).await {
            Ok(found) if found.iter().next().is_some() => Ok(found.iter().collect()),
            Ok(_) => Err(Trouble::theirs(FaultKind::Resolve, format!("`{host}` has no address"))),
            Err(error) if error.is_nx_domain() => {
                Err(Trouble::theirs(FaultKind::Resolve, format!("there is no name `{host}`")))
            }
            Err(error) if error.is_no_records_found() && answered(&error) => {
                Err(Trouble::theirs(FaultKind::Resolve, format!("`{host}` has no address")))
            }
            Err(error) => Err(ours(format!("cannot look up `{host}`: {error}"))),
        }
    }
}

/// Did a server say "no such records", rather than that it cannot tell?
fn answered(error: &hickory_resolver::net::NetError) -> bool {
    use hickory_resolver::net::{DnsError, NetError};
    use hickory_resolver::proto::op::ResponseCode;
    matches!(
        error,
        NetError::Dns(DnsError::NoRecordsFound(none)) if none.response_code == ResponseCode::NoError
    )
}

/// A host without the brackets that URLs put around IPv6 addresses.
pub(crate) fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}
