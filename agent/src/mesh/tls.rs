//! The TLS of the mesh: 1.3 only, both sides shown to belong to the same authority, no session ever resumed.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{IdleTimeout, TransportConfig, VarInt};
use rustls::client::Resumption;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;

use super::STREAMS;
use crate::identity::{Identity, provider};

/// Stays the same when the protocol changes: a difference is told in the greeting, in words.
const ALPN: &[u8] = b"quorate/1";
/// An idle link shows that it lives this often: a dead one is known after a few of these.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Six lost signs of life in a row; the core's own pulses notice a silent peer much earlier.
const IDLE: Duration = Duration::from_secs(6);
/// A third of a second, quinn's own guess, makes a lost first packet cost a whole second.
const FIRST_RTT: Duration = Duration::from_millis(150);
/// One whole message must fit, so that its reader never waits for a window (`codec::LIMIT` and its version byte).
const STREAM_WINDOW: u32 = 640 * 1024;
/// What a peer may have sent that nobody has read yet: bounds memory a link.
const WINDOW: u32 = 2 * 1024 * 1024;
/// Gossip is small and newer gossip is better, so the oldest goes first when this is full.
const DATAGRAMS: usize = 256 * 1024;
/// Connections whose first packet has come and that nobody has looked at yet.
const INCOMING: usize = 64;

/// Both ends of a connection, as configurations.
pub(super) fn configs(
    identity: &Identity,
) -> Result<(quinn::ServerConfig, quinn::ClientConfig), rustls::Error> {
    let versions = [&rustls::version::TLS13];
    let key = Arc::new(SingleCertAndKey::from(identity.key.clone()));
    let verifier = WebPkiClientVerifier::builder_with_provider(identity.roots.clone(), provider())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;

    let mut server = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&versions)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(key.clone());
    // A resumed session carries the certificate of the first: it would outlive being replaced.
    server.send_tls13_tickets = 0;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.alpn_protocols = vec![ALPN.to_vec()];

    let mut client = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&versions)?
        .with_root_certificates(identity.roots.clone())
        .with_client_cert_resolver(key);
    client.resumption = Resumption::disabled();
    client.alpn_protocols = vec![ALPN.to_vec()];

    let transport = Arc::new(transport());
    let no_cipher = |error| rustls::Error::General(format!("{error}"));
    let server = QuicServerConfig::try_from(server).map_err(no_cipher)?;
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(server));
    server.transport_config(transport.clone()).max_incoming(INCOMING);
    let client = QuicClientConfig::try_from(client).map_err(no_cipher)?;
    let mut client = quinn::ClientConfig::new(Arc::new(client));
    client.transport_config(transport);
    Ok((server, client))
}

fn transport() -> TransportConfig {
    let idle = IdleTimeout::try_from(IDLE).expect("six seconds are a QUIC time");
    let mut transport = TransportConfig::default();
    transport
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(idle))
        .initial_rtt(FIRST_RTT)
        .max_concurrent_uni_streams(VarInt::from_u32(STREAMS))
        // One, for the greeting.
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(u64::from(WINDOW))
        .datagram_receive_buffer_size(Some(DATAGRAMS))
        .datagram_send_buffer_size(DATAGRAMS);
    transport
}
