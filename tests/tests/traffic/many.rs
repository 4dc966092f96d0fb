//! One look over many names: what is silent is waited for once, and not for each of them.

use agent::actors::Actors;
use agent::clock;
use agent::config::{Credential, Credentials};
use consensus::model::{
    Action, Driver, Effect, Epoch, Held, Inspected, Inspection, Published, RecordData, RecordKind,
    RecordSet, Token,
};
use consensus::outbox::Input;
use data_encoding::BASE64;
use tokio::sync::mpsc;

use super::*;

const NAMES: usize = 60;
/// A look is begun again after half a minute (`consensus::node::drift`); this leaves room for a machine that is busy.
const SOON: Duration = Duration::from_secs(12);

fn publication(number: usize) -> Effect {
    let data = vec![RecordData::Address(address("s1").into())];
    Effect::Publish {
        name: format!("n{number}.{ZONE}"),
        driver: Driver::Rfc2136 {
            server: format!("{}:53", address("dns")),
            zone: ZONE.to_owned(),
            credential: "dns".parse().expect("a name"),
        },
        sets: vec![RecordSet { kind: RecordKind::A, ttl: 5, data }],
        stack: "s1".parse().expect("a name"),
    }
}

/// An agent's actors, and what they report.
struct Looking {
    actors: Actors,
    inputs: mpsc::Receiver<Input>,
}

impl Looking {
    fn new() -> Self {
        let (sender, inputs) = mpsc::channel(4);
        let key = Credential::Key {
            name: KEY.to_owned(),
            algorithm: "hmac-sha256".to_owned(),
            secret: BASE64.decode(SECRET.as_bytes()).expect("base64"),
        };
        let credentials: Credentials = [("dns".parse().expect("a name"), key)].into();
        Self { actors: Actors::new(credentials.into(), sender), inputs }
    }

    async fn publish(&self, effect: Effect) {
        let limit = Duration::from_secs(5);
        let action = Action {
            app: "shop".parse().expect("a name"),
            token: token(),
            term: 1,
            item: 0,
            deadline: clock::now() + limit,
            limit,
            effect,
        };
        let report = self.actors.carry_out(action).await;
        assert!(report.result.is_ok(), "{report:?}");
    }

    /// Looks at all names once.
    async fn look(&mut self) -> (Vec<Published>, Duration) {
        let began = Instant::now();
        self.actors.inspect(Inspection {
            app: "shop".parse().expect("a name"),
            token: token(),
            shortened: 0,
            publications: (0..NAMES).map(publication).collect(),
            holder: true,
        });
        let input = self.inputs.recv().await.expect("each inspection is answered");
        let Input::Inspected(Inspected { names, .. }) = input else { panic!("{input:?}") };
        let asked: Vec<_> = names.iter().map(|it| it.name.clone()).collect();
        let wanted: Vec<_> = (0..NAMES).map(|number| format!("n{number}.{ZONE}")).collect();
        assert_eq!(asked, wanted, "each name, in its order");
        println!("looked at {NAMES} names in {:?}", began.elapsed());
        (names, began.elapsed())
    }
}

fn token() -> Token {
    Token::new(Epoch(2), 0, 4)
}

#[test]
fn a_silent_name_server_is_waited_for_once_in_a_look() {
    inside(|lab: &Lab| {
        let (bind, secondary) = Bind::start_two(lab);
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime.expect("a thread").block_on(async {
            let mut looking = Looking::new();
            for number in 0..NAMES {
                looking.publish(publication(number)).await;
            }
            let second = SocketAddr::from((address(SECOND), 53));
            let last = format!("n{}.{ZONE}", NAMES - 1);
            eventually(SETTLE, "the secondary has all", || match ask(second, &last) {
                answer if answer == Answer::Addresses(vec![address("s1")]) => Ok(()),
                other => Err(format!("{other:?}")),
            });
            let well =
                |it: &Published| (&it.held, it.right, it.wrong.len()) == (&Held::AsDecided, 2, 0);
            let (names, _) = looking.look().await;
            assert!(names.iter().all(well), "{names:?}");

            secondary.pause();
            let (names, took) = looking.look().await;
            let one = |it: &Published| {
                let [line] = it.wrong.as_slice() else { return false };
                (&it.held, it.right) == (&Held::AsDecided, 1)
                    && line.starts_with(&format!("ns2.{ZONE} ({}) does not", address(SECOND)))
            };
            assert!(names.iter().all(one), "{names:?}");
            assert!(took < SOON, "{took:?}");

            // Nor does the one that takes the updates say anything.
            bind.pause();
            let (names, took) = looking.look().await;
            let none = |it: &Published| matches!(it.held, Held::Unknown(_)) && it.right == 0;
            assert!(names.iter().all(none), "{names:?}");
            assert!(took < SOON, "{took:?}");

            // The next look begins with nothing.
            bind.resume();
            secondary.resume();
            let (names, _) = looking.look().await;
            assert!(names.iter().all(well), "{names:?}");
        });
    });
}
