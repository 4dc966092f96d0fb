//! Holds one door, `shop/orders` at port 5432, with the host's watchdog beside it: what runs in the guest of `tests/watchdog`.
//!
//! `hold-door SECONDS` holds it once for a lease of so long; with `kept` behind it, again every quarter of that. Ends in order
//! when its standard input does.

use std::io::{self, Read};
use std::time::Duration;

use agent::clock;
use agent::config::DoorConfig;
use agent::guard::{Device, Guard};
use consensus::model::TargetId;

#[tokio::main]
async fn main() {
    let mut words = std::env::args().skip(1);
    let seconds =
        words.next().and_then(|word| word.parse().ok()).expect("`hold-door SECONDS [kept]`");
    let (lease, kept) = (Duration::from_secs(seconds), words.next().is_some());
    let door = DoorConfig {
        app: "shop".parse().expect("a name"),
        database: "orders".parse().expect("a name"),
        ports: vec![5432],
        allow: vec![],
        rejoin: vec![],
        heartbeat: false,
    };
    let target = TargetId {
        app: door.app.clone(),
        stack: "east".parse().expect("a name"),
        name: door.database.clone(),
    };
    let device: Device = "/dev/watchdog".parse().expect("a device");
    let guard = match Guard::start(vec![door], Some(device)).await {
        Ok(guard) => guard,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            println!("refused: {}", cause.unwrap_or_else(|| error.to_string()));
            return;
        }
    };
    let ended = tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new()));
    let mut renewals = tokio::time::interval(lease / 4);
    let hold = async {
        loop {
            renewals.tick().await;
            let until = clock::now() + lease;
            guard.hold(&target, until).await.expect("only shutting fails");
            println!("held until {}", until.as_micros() / 1_000);
            if !kept {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = hold => {}
        _ = ended => {}
    }
    guard.stop().await;
    println!("ended");
}
