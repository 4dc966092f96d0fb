//! Checks the signature of a request and signs its answers (RFC 8945).
//!
//! A request is believed if it bears a known key's signature, made within the time that the request allows for. By hand
//! where hickory asserts what a stranger sends. Knows nothing of what is asked.

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::tsig::{TSIG, TsigError, make_tsig_record};
use hickory_proto::rr::{DNSClass, Record, TSigner};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};

use super::desk::bare;
use super::query::{HEADER, Query};

/// The response code of a signature that is not believed.
pub(super) const NOT_AUTHORIZED: u16 = 9;

/// What is known of who asks.
pub(super) enum Signed {
    /// Nothing.
    Not,
    /// It holds this key; answers are signed with it.
    By(Signing),
    /// It bears a signature that is not believed; this is the answer.
    Badly(Vec<u8>),
}

/// Signs the answers to one request, each over the one before.
pub(super) struct Signing {
    signer: TSigner,
    id: u16,
    mac: Vec<u8>,
    first: bool,
    error: Option<(TsigError, Vec<u8>)>,
}

/// Who signed this request, as far as these keys tell; `now` in seconds since 1970.
pub(super) fn check(keys: &[TSigner], packet: &[u8], query: &Query<'_>, now: u64) -> Signed {
    let Some(signature) = query.signature else { return Signed::Not };
    let at = packet.len().saturating_sub(signature.len());
    let record = Message::from_vec(packet).ok().and_then(|message| message.signature().cloned());
    // Neither is signed, and each has one value that it may have (RFC 8945 section 4.2).
    let as_it_must = |it: &Record<TSIG>| it.ttl == 0 && it.dns_class == DNSClass::ANY;
    let Some(record) = record.filter(as_it_must) else { return Signed::Not };
    let tsig = &record.data;
    let key = keys
        .iter()
        .find(|key| *key.signer_name() == record.name && *key.algorithm() == tsig.algorithm);
    let refusal = |error| {
        let unsigned = TSIG::new(
            tsig.algorithm.clone(),
            now,
            tsig.fudge,
            Vec::new(),
            query.header.id,
            Some(error),
            Vec::new(),
        );
        let record = make_tsig_record(record.name.clone(), unsigned);
        let mut answer = bare(query, NOT_AUTHORIZED);
        append(&mut answer, &record);
        Signed::Badly(answer)
    };
    let Some(key) = key else { return refusal(TsigError::BadKey) };
    let Some(told) = unsigned(packet, at, tsig.oid) else { return refusal(TsigError::BadSig) };
    let Some(covered) = covered(told, tsig, key) else { return refusal(TsigError::BadSig) };
    if key.verify(&covered, &tsig.mac).is_err() {
        return refusal(TsigError::BadSig);
    }
    let mut signing = Signing {
        signer: key.clone(),
        id: query.header.id,
        mac: tsig.mac.clone(),
        first: true,
        error: None,
    };
    if now.abs_diff(tsig.time) <= u64::from(tsig.fudge) {
        return Signed::By(signing);
    }
    // Its clock is off, or ours: say what ours shows (RFC 8945 section 5.2.3).
    signing.error = Some((TsigError::BadTime, now.to_be_bytes()[2..].to_vec()));
    let mut answer = bare(query, NOT_AUTHORIZED);
    signing.sign(&mut answer, now);
    Signed::Badly(answer)
}

/// The packet as it was before it was signed.
fn unsigned(packet: &[u8], at: usize, id: u16) -> Option<Vec<u8>> {
    let mut told = packet.get(..at)?.to_vec();
    told.get_mut(..2)?.copy_from_slice(&id.to_be_bytes());
    count(&mut told, |count| count.checked_sub(1))?;
    Some(told)
}

/// Changes how many additional records the header says there are.
fn count(message: &mut [u8], change: impl Fn(u16) -> Option<u16>) -> Option<()> {
    let count = message.get_mut(HEADER - 2..HEADER)?;
    let changed = change(u16::from_be_bytes([count[0], count[1]]))?;
    count.copy_from_slice(&changed.to_be_bytes());
    Some(())
}

/// Puts the signature behind a message.
fn append(message: &mut Vec<u8>, record: &Record<TSIG>) {
    let Ok(bytes) = record.to_bytes() else { return };
    if count(message, |count| count.checked_add(1)).is_some() {
        message.extend(bytes);
    }
}

/// What a signature is made over, when it stands alone.
fn covered(mut told: Vec<u8>, tsig: &TSIG, key: &TSigner) -> Option<Vec<u8>> {
    let mut variables = Vec::new();
    tsig.emit_tsig_for_mac(&mut BinEncoder::new(&mut variables), key.signer_name()).ok()?;
    told.extend(variables);
    Some(told)
}

impl Signing {
    /// Appends the signature to an answer; `now` in seconds since 1970.
    pub(super) fn sign(&mut self, message: &mut Vec<u8>, now: u64) {
        let fudge = self.signer.fudge();
        let (error, other) = self.error.take().unzip();
        let other = other.unwrap_or_default();
        let algorithm = self.signer.algorithm().clone();
        let empty = TSIG::new(algorithm, now, fudge, Vec::new(), self.id, error, other);
        let mut told = u16::try_from(self.mac.len()).unwrap_or_default().to_be_bytes().to_vec();
        told.extend(&self.mac);
        told.extend(message.as_slice());
        let covered = match self.first {
            true => covered(told, &empty, &self.signer),
            // Behind the first one only the time counts (RFC 8945 section 5.3.1).
            false => {
                told.extend(&now.to_be_bytes()[2..]);
                told.extend(fudge.to_be_bytes());
                Some(told)
            }
        };
        let Some(mac) = covered.and_then(|covered| self.signer.sign(&covered).ok()) else { return };
        let record =
            make_tsig_record(self.signer.signer_name().clone(), empty.set_mac(mac.clone()));
        append(message, &record);
        (self.mac, self.first) = (mac, false);
    }
}
