//! A signed conversation with one DNS server over TCP: a question, its answer checked, or a fault worded for people.
//!
//! By hand, and not by hickory's client, which cannot read the answers that refuse a signature: they are not signed
//! themselves (hickory-dns issue 1981). Nothing is ever sent twice: a repeated update would fail its own prerequisite.

use std::fmt::Display;
use std::io;

use consensus::model::{ActionFault, ActionFaultKind};
use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::rdata::tsig::{TSIG, TsigError};
use hickory_proto::rr::{DNSClass, Name, Record, RecordType, TSigner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::actors::attempt::{Attempt, fault};

/// A connection to a server, and the key to speak with.
pub(super) struct Link<'a> {
    stream: TcpStream,
    server: &'a str,
    zone: &'a str,
    signer: TSigner,
    wall_ms: fn() -> u64,
}

impl<'a> Link<'a> {
    /// Connects; nothing is asked yet.
    pub(super) async fn open(
        attempt: &Attempt,
        server: &'a str,
        zone: &'a str,
        signer: TSigner,
        wall_ms: fn() -> u64,
    ) -> Result<Self, ActionFault> {
        attempt.begin("connecting to the DNS server")?;
        let stream = TcpStream::connect(server).await;
        let stream = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        match stream {
            Ok(stream) => Ok(Self { stream, server, zone, signer, wall_ms }),
            Err(error) => Err(fault(
                ActionFaultKind::Unknown,
                format!("cannot reach DNS server `{server}`: {error}"),
            )),
        }
    }

    /// The records of one type that the server itself holds at a name.
    pub(super) async fn read(
        &mut self,
        name: &Name,
        kind: RecordType,
    ) -> Result<Vec<Record>, ActionFault> {
        let mut question = Message::query();
        question.metadata.recursion_desired = false;
        let mut query = Query::query(name.clone(), kind);
        query.set_query_class(DNSClass::IN);
        question.add_query(query);
        let answer = self.exchange(question).await?;
        match answer.metadata.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain if answer.metadata.authoritative => {
                let held = |record: &Record| record.name == *name && record.record_type() == kind;
                Ok(answer.answers.into_iter().filter(held).collect())
            }
            ResponseCode::NoError | ResponseCode::NXDomain => Err(self.refused(format!(
                "does not hold zone `{}`: its answer is not authoritative",
                self.zone
            ))),
            ResponseCode::Refused | ResponseCode::NotAuth => Err(self.refused(format!(
                "refuses to answer for `{name}`: it does not serve zone `{}`, or not to us",
                self.zone
            ))),
            code => Err(self.unclear(format!("answers {code} when asked for {kind} `{name}`"))),
        }
    }

    /// Sends a message, signed, and gives its answer, its signature checked.
    pub(super) async fn exchange(&mut self, mut message: Message) -> Result<Message, ActionFault> {
        message.metadata.id = rand::random();
        let id = message.metadata.id;
        let code = message.metadata.op_code;
        let signed = message.finalize(&self.signer, (self.wall_ms)() / 1000);
        let mut verifier = signed.ok().flatten().ok_or_else(|| {
            self.refused(format!("cannot be asked: key `{}` cannot sign", self.key()))
        })?;
        let bytes =
            message.to_vec().ok().filter(|bytes| bytes.len() <= usize::from(u16::MAX)).ok_or_else(
                || self.refused("cannot be asked: the records fit no message".to_owned()),
            )?;

        let answered = self.send(&bytes).await;
        let answered =
            answered.map_err(|error| self.unclear(format!("broke the connection: {error}")))?;
        let answer = Message::from_vec(&answered)
            .map_err(|error| self.unclear(format!("answered with what is not DNS: {error}")))?;
        let metadata = &answer.metadata;
        if metadata.message_type != MessageType::Response
            || metadata.id != id
            || metadata.op_code != code
        {
            return Err(self.unclear("answered another question than was asked".to_owned()));
        }
        if let Some(trouble) = self.signature_trouble(&answer) {
            return Err(trouble);
        }
        match (verifier.verify(&answered), metadata.response_code) {
            (Ok(_), _) => Ok(answer),
            // Refusals may come unsigned: believing them changes nothing.
            (Err(_), code) if answer.signature().is_none() && is_refusal(code) => Ok(answer),
            (Err(error), _) => Err(self.unclear(format!(
                "answered with a signature that key `{}` does not verify: {error}",
                self.key()
            ))),
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
        let framed = [length.to_be_bytes().as_slice(), bytes].concat();
        self.stream.write_all(&framed).await?;
        let length = self.stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        self.stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    /// What the server says of our signature, if anything (RFC 8945 section 5.2).
    fn signature_trouble(&self, answer: &Message) -> Option<ActionFault> {
        let signature = &answer.signature()?.data;
        let key = self.key();
        let why = match signature.error.as_ref()? {
            TsigError::BadKey => format!("knows no key `{key}`, or not with its algorithm"),
            TsigError::BadSig => format!("has another secret for key `{key}`"),
            TsigError::BadTime => match self.clock_error(signature) {
                Some(seconds) => format!(
                    "refuses the signature: our clock is off by {seconds} s from the server's"
                ),
                None => "refuses the signature: our clock and the server's differ".to_owned(),
            },
            TsigError::BadTrunc => format!("wants signatures of key `{key}` in full length"),
            TsigError::Unknown(code) => format!("refuses the signature with TSIG error {code}"),
        };
        Some(self.refused(why))
    }

    /// How far our clock is ahead: the server's time stands in "other data", as 48 bits.
    fn clock_error(&self, signature: &TSIG) -> Option<i64> {
        let theirs: [u8; 6] = signature.other.as_slice().try_into().ok()?;
        let theirs = theirs.iter().fold(0_i64, |seconds, &byte| seconds << 8 | i64::from(byte));
        let ours = i64::try_from((self.wall_ms)() / 1000).ok()?;
        Some(ours - theirs)
    }

    fn key(&self) -> &Name {
        self.signer.signer_name()
    }

    /// The server will say the same again.
    pub(super) fn refused(&self, what: impl Display) -> ActionFault {
        fault(ActionFaultKind::Refused, format!("DNS server `{}` {what}", self.server))
    }

    /// Another try may end differently, or this one may have had its effect.
    pub(super) fn unclear(&self, what: impl Display) -> ActionFault {
        fault(ActionFaultKind::Unknown, format!("DNS server `{}` {what}", self.server))
    }
}

/// Codes that only say no: FORMERR, SERVFAIL, NOTIMP, REFUSED, NOTAUTH, NOTZONE.
fn is_refusal(code: ResponseCode) -> bool {
    matches!(
        code,
        ResponseCode::FormErr
            | ResponseCode::ServFail
            | ResponseCode::NotImp
            | ResponseCode::Refused
            | ResponseCode::NotAuth
            | ResponseCode::NotZone
    )
}
