//! Membership by foca (SWIM), driven by the same inputs and outputs as everything else.

use std::collections::BTreeMap;
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use bytes::{Buf, BufMut};
use foca::{
    AccumulatingRuntime, Config, Foca, Header, Member, NoCustomBroadcast, OwnedNotification,
    PeriodicParams, Timer,
};
use rand::rngs::StdRng;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, Malformed};
use crate::message::{Identity, Message};
use crate::model::AgentId;
use crate::moment::Moment;
use crate::outbox::{Deadline, Outbox, Output};

/// Fits a QUIC datagram on a fresh connection: 1162 bytes at an MTU of 1200.
const PACKET: usize = 1150;
const PROBE_PERIOD: Duration = Duration::from_secs(1);
const PROBE_RTT: Duration = Duration::from_millis(400);
/// Long enough for a refutation to come round the world, short enough for operators (foca's `new_wan` takes 30 s).
const SUSPECT: Duration = Duration::from_secs(4);
const FORGET: Duration = Duration::from_secs(24 * 3600);

impl foca::Identity for Identity {
    type Addr = AgentId;

    fn renew(&self) -> Option<Self> {
        Some(Self { incarnation: self.incarnation + 1, ..self.clone() })
    }

    fn addr(&self) -> AgentId {
        self.agent.clone()
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.incarnation > adversary.incarnation
    }
}

/// Our wire format behind foca's four functions.
struct Codec;

/// Writes all of a value or, if it does not fit, nothing: foca relies on a clean buffer.
fn put<T: Serialize>(value: &T, mut buffer: impl BufMut) -> Result<(), Malformed> {
    let bytes = codec::encode(value);
    let length = u16::try_from(bytes.len()).map_err(|_| Malformed::TooLong(bytes.len()))?;
    if bytes.len() + 2 > buffer.remaining_mut() {
        return Err(Malformed::TooLong(bytes.len()));
    }
    buffer.put_u16(length);
    buffer.put_slice(&bytes);
    Ok(())
}

fn take<T: DeserializeOwned>(mut buffer: impl Buf) -> Result<T, Malformed> {
    let length = buffer.try_get_u16().map_err(|_| Malformed::Empty)?;
    if buffer.remaining() < usize::from(length) {
        return Err(Malformed::Empty);
    }
    codec::decode(&buffer.copy_to_bytes(usize::from(length)))
}

impl foca::Codec<Identity> for Codec {
    type Error = Malformed;

    fn encode_header(
        &mut self,
        header: &Header<Identity>,
        buffer: impl BufMut,
    ) -> Result<(), Malformed> {
        put(header, buffer)
    }

    fn decode_header(&mut self, buffer: impl Buf) -> Result<Header<Identity>, Malformed> {
        take(buffer)
    }

    fn encode_member(
        &mut self,
        member: &Member<Identity>,
        buffer: impl BufMut,
    ) -> Result<(), Malformed> {
        put(member, buffer)
    }

    fn decode_member(&mut self, buffer: impl Buf) -> Result<Member<Identity>, Malformed> {
        take(buffer)
    }
}

/// Which agents exist, as SWIM has it.
pub struct Membership {
    foca: Foca<Identity, Codec, StdRng, NoCustomBroadcast>,
    runtime: AccumulatingRuntime<Identity>,
    timers: BTreeMap<(Moment, u64), Timer<Identity>>,
    scheduled: u64,
    refuted: bool,
}

impl Membership {
    /// Alone, so far.
    pub fn new(me: Identity, rng: StdRng) -> Self {
        Self {
            foca: Foca::new(me, config(), rng, Codec),
            runtime: AccumulatingRuntime::new(),
            timers: BTreeMap::new(),
            scheduled: 0,
            refuted: false,
        }
    }

    /// A link to an agent came up: introduce ourselves.
    pub fn on_linked(&mut self, agent: &AgentId, address: &str, now: Moment, out: &mut Outbox) {
        let stranger =
            Identity { agent: agent.clone(), address: address.to_owned(), incarnation: 0 };
        // An announcement that cannot be sent is repeated by the next link; foca has nothing else to say here.
        let _ = self.foca.announce(stranger, &mut self.runtime);
        self.drain(now, out);
    }

    /// foca's bytes from an agent that its certificate names. foca authenticates nobody: a packet that claims another
    /// sender is dropped.
    ///
    /// # Errors
    /// If the packet is not foca's, or not the sender's own.
    pub fn on_packet(
        &mut self,
        from: &AgentId,
        packet: &[u8],
        now: Moment,
        out: &mut Outbox,
    ) -> Result<(), String> {
        let header: Header<Identity> = take(packet).map_err(|error| error.to_string())?;
        if header.src.agent != *from {
            return Err(format!("it claims to be from {}", header.src.agent));
        }
        let result = self.foca.handle_data(packet, &mut self.runtime);
        self.drain(now, out);
        result.map_err(|error| error.to_string())
    }

    /// The time has come for something.
    pub fn on_wake(&mut self, now: Moment, out: &mut Outbox) {
        while let Some(entry) = self.timers.first_entry().filter(|entry| entry.key().0 <= now) {
            // A timer of an older state is foca's to ignore; its error says only that.
            let _ = self.foca.handle_timer(entry.remove(), &mut self.runtime);
            self.drain(now, out);
        }
    }

    /// When to be woken.
    pub fn wake(&self) -> Deadline {
        let next = self.timers.keys().next().map_or(Moment::NEVER, |(at, _)| *at);
        (next, "membership")
    }

    /// Did the others hold this agent for dead since this was last asked, so that it had to contradict?
    pub fn refuted(&mut self) -> bool {
        std::mem::take(&mut self.refuted)
    }

    /// The agents that SWIM holds for alive, without ourselves.
    pub fn alive(&self) -> impl Iterator<Item = &Identity> {
        self.foca.iter_members().map(Member::id)
    }

    fn drain(&mut self, now: Moment, out: &mut Outbox) {
        while let Some((delay, timer)) = self.runtime.to_schedule() {
            self.scheduled += 1;
            self.timers.insert((now + delay, self.scheduled), timer);
        }
        while let Some((to, packet)) = self.runtime.to_send() {
            // An earlier run of ours may still be remembered, and greeted.
            if to.agent != self.foca.identity().agent {
                out.send(&to.agent, Message::Gossip(packet.to_vec()));
            }
        }
        while let Some(notification) = self.runtime.to_notify() {
            match notification {
                OwnedNotification::MemberUp(it) | OwnedNotification::Rename(_, it) => {
                    out.push(Output::Address(it.agent, it.address));
                }
                OwnedNotification::Rejoin(_) => self.refuted = true,
                _ => {}
            }
        }
    }
}

fn config() -> Config {
    let periodic = |frequency: Duration, members: usize| {
        Some(PeriodicParams {
            frequency,
            num_members: NonZeroUsize::new(members).expect("not zero"),
        })
    };
    Config {
        probe_period: PROBE_PERIOD,
        probe_rtt: PROBE_RTT,
        num_indirect_probes: NonZeroUsize::new(3).expect("not zero"),
        max_transmissions: NonZeroU8::new(6).expect("not zero"),
        suspect_to_down_after: SUSPECT,
        remove_down_after: Some(FORGET),
        max_packet_size: NonZeroUsize::new(PACKET).expect("not zero"),
        notify_down_members: true,
        periodic_announce: periodic(Duration::from_secs(30), 1),
        periodic_announce_to_down_members: periodic(Duration::from_secs(30), 1),
        periodic_gossip: periodic(Duration::from_millis(500), 3),
    }
}
