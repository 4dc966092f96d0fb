//! Turns the bytes of one query into the bytes of its answer.
//!
//! Nothing is allocated on a packet's word alone: what is not exactly one question is refused by its header. An answer
//! never exceeds what its asker can take; one that would is sent empty, marked as truncated (RFC 2181 section 9).

use std::net::SocketAddr;

use hickory_net::xfer::Protocol;
use hickory_proto::op::{Edns, Header, HeaderCounts, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::Record;
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder};
use hickory_server::server::Request;
use hickory_server::zone_handler::MessageResponseBuilder;

use super::Shared;
use super::answer::{Answer, answer};
use super::counters::Transport;

/// The most a datagram carries: fits every path without fragments (DNS flag day 2020).
const DATAGRAM: u16 = 1232;
/// What an asker without EDNS can take (RFC 1035 section 4.2.1).
const CLASSIC: u16 = 512;

/// The answer to this packet, or `None` if it deserves none.
pub(super) fn respond(
    shared: &Shared,
    packet: &[u8],
    from: SocketAddr,
    transport: Transport,
) -> Option<Vec<u8>> {
    let (code, bytes) = match Header::read(&mut BinDecoder::new(packet)) {
        // Never answered: two servers would talk for ever.
        Ok(header) if header.metadata.message_type == MessageType::Response => return None,
        Err(_) => return None,
        Ok(header) if header.counts.queries != 1 => {
            (ResponseCode::FormErr, bare(&header.metadata, ResponseCode::FormErr)?)
        }
        Ok(header) => {
            let protocol = match transport {
                Transport::Udp => Protocol::Udp,
                Transport::Tcp => Protocol::Tcp,
            };
            match Request::from_bytes(packet.to_vec(), from, protocol) {
                Ok(request) => respond_to(shared, &request, transport)?,
                Err(_) => (ResponseCode::FormErr, bare(&header.metadata, ResponseCode::FormErr)?),
            }
        }
    };
    shared.counters.answered(transport, code);
    Some(bytes)
}

fn respond_to(
    shared: &Shared,
    request: &Request,
    transport: Transport,
) -> Option<(ResponseCode, Vec<u8>)> {
    let said = consider(shared, request);
    let mut metadata = Metadata::response_from_request(&request.metadata);
    metadata.authoritative = said.authoritative;
    metadata.response_code = said.code;
    let edns = request.edns.as_ref().map(|asked| {
        let mut edns = Edns::new();
        edns.set_version(0).set_max_payload(DATAGRAM).set_dnssec_ok(asked.flags().dnssec_ok);
        edns
    });
    let room = match (transport, &request.edns) {
        (Transport::Tcp, _) => u16::MAX,
        (Transport::Udp, None) => CLASSIC,
        (Transport::Udp, Some(asked)) => asked.max_payload().clamp(CLASSIC, DATAGRAM),
    };

    let edns = edns.as_ref();
    let whole = encode(request, metadata, edns, &said);
    if let Some(bytes) = whole.filter(|bytes| bytes.len() <= usize::from(room)) {
        return Some((said.code, bytes));
    }
    // Addresses of name servers are a courtesy; without them the answer may fit (RFC 2181 section 9).
    let spare = Answer { additionals: Vec::new(), ..said };
    let spared = encode(request, metadata, edns, &spare);
    if let Some(bytes) = spared.filter(|bytes| bytes.len() <= usize::from(room)) {
        return Some((spare.code, bytes));
    }
    shared.counters.cut();
    metadata.truncation = true;
    let code = spare.code;
    Some((code, encode(request, metadata, edns, &Answer::bare(code))?))
}

/// What is to be said to a well-formed request.
fn consider(shared: &Shared, request: &Request) -> Answer {
    if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        return Answer::bare(ResponseCode::BADVERS);
    }
    if request.metadata.op_code != OpCode::Query {
        return Answer::bare(ResponseCode::NotImp);
    }
    let Some(query) = request.queries.queries().first() else {
        return Answer::bare(ResponseCode::FormErr);
    };
    let zones = shared.zones.load();
    match answer(&zones, query) {
        known if known.authoritative && shared.stale() => Answer::bare(ResponseCode::ServFail),
        said => said,
    }
}

fn encode(
    request: &Request,
    metadata: Metadata,
    edns: Option<&Edns>,
    said: &Answer,
) -> Option<Vec<u8>> {
    let none: &[Record] = &[];
    let response = MessageResponseBuilder::new(&request.queries, edns).build(
        metadata,
        &said.answers,
        &said.authorities,
        none,
        &said.additionals,
    );
    let mut bytes = Vec::with_capacity(usize::from(CLASSIC));
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(u16::MAX);
    match response.destructive_emit(&mut encoder) {
        Ok(sent) if sent.truncation == metadata.truncation => Some(bytes),
        _ => None,
    }
}

/// An answer of a header alone, for what could not be read.
fn bare(asked: &Metadata, code: ResponseCode) -> Option<Vec<u8>> {
    let mut metadata = Metadata::response_from_request(asked);
    metadata.response_code = code;
    let header = Header { metadata, counts: HeaderCounts::default() };
    header.to_bytes().ok()
}
