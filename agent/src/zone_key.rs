//! The key that a zone is signed with: ECDSA P-256 (algorithm 13), one key for everything (RFC 6781 section 3.1).

use hickory_proto::rr::rdata::NULL;
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::BinEncodable;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;

/// ECDSA over P-256 with SHA-256 (RFC 6605).
pub(crate) const ALGORITHM: u8 = 13;
/// A zone's key, and the one that its parent points to.
const FLAGS: u16 = 257;
/// The only value there is (RFC 4034 section 2.1.2).
const PROTOCOL: u8 = 3;
/// SHA-256, in a DS record.
const DIGEST: u8 = 2;

/// A zone's key.
pub struct ZoneKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    /// As the DNSKEY record has it.
    data: Vec<u8>,
}

impl std::fmt::Debug for ZoneKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ZoneKey({})", self.tag())
    }
}

/// A zone's keys: the first signs, all are published.
#[derive(Debug)]
pub struct ZoneKeys {
    /// The zone.
    pub apex: LowerName,
    /// Never empty.
    pub keys: Vec<ZoneKey>,
}

impl ZoneKey {
    /// From PKCS #8 in PEM, as `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` writes it.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        let expected = "expected a private key on P-256 as PKCS #8 in PEM, as `openssl genpkey -algorithm EC \
                        -pkeyopt ec_paramgen_curve:P-256` writes it";
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes());
        let key = key.map_err(|_| expected.to_owned())?;
        let random = SystemRandom::new();
        let bytes = key.secret_pkcs8_der();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes, &random);
        let pair = pair.map_err(|_| expected.to_owned())?;
        let [f1, f2] = FLAGS.to_be_bytes();
        let mut data = vec![f1, f2, PROTOCOL, ALGORITHM];
        // Without the octet that says "uncompressed".
        data.extend(pair.public_key().as_ref().iter().skip(1));
        Ok(Self { pair, random, data })
    }

    /// The record that publishes it.
    pub(crate) fn record(&self, apex: &Name, ttl: u32) -> Record {
        let data =
            RData::Unknown { code: RecordType::DNSKEY, rdata: NULL::with(self.data.clone()) };
        Record::from_rdata(apex.clone(), ttl, data)
    }

    /// What the parent says of it: a DS record.
    pub(crate) fn delegation(&self, apex: &Name, ttl: u32) -> Option<Record> {
        let covered = [apex.to_lowercase().to_bytes().ok()?, self.data.clone()].concat();
        let digest = ring::digest::digest(&ring::digest::SHA256, &covered);
        let mut data = self.tag().to_be_bytes().to_vec();
        data.extend([ALGORITHM, DIGEST]);
        data.extend(digest.as_ref());
        let data = RData::Unknown { code: RecordType::DS, rdata: NULL::with(data) };
        Some(Record::from_rdata(apex.clone(), ttl, data))
    }

    /// The same in text, to be handed to whoever runs the parent.
    pub fn delegation_text(&self, apex: &Name) -> String {
        let record = self.delegation(apex, 0);
        let Some(RData::Unknown { rdata, .. }) = record.map(|record| record.data) else {
            return String::new();
        };
        let [_, _, _, _, digest @ ..] = rdata.anything.as_slice() else { return String::new() };
        let digest = data_encoding::HEXUPPER.encode(digest);
        format!("{apex} DS {} {ALGORITHM} {DIGEST} {digest}", self.tag())
    }

    /// By what signatures name it (RFC 4034 appendix B).
    pub fn tag(&self) -> u16 {
        let pairs = self.data.chunks(2);
        let sum: u32 = pairs
            .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
            .sum();
        (sum + (sum >> 16)) as u16
    }

    /// A signature over these bytes; `None` if the system has no randomness.
    pub(crate) fn sign(&self, covered: &[u8]) -> Option<Vec<u8>> {
        let signature = self.pair.sign(&self.random, covered).ok()?;
        Some(signature.as_ref().to_vec())
    }
}
