//! Holds one door, `shop/orders` at port 5432, with the host's watchdog beside it: what runs in the guest of `tests/watchdog`.
//!
//! `hold-door SECONDS` holds it once for a lease of so long; with `kept` behind it, again every quarter of that. Says what its
//! guard shows, whenever that is something else. Ends in order when its standard input does.

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
    let doors = guard.doors();
    let show = async {
        let mut shown = String::new();
        let mut looks = tokio::time::interval(Duration::from_millis(100));
        loop {
            looks.tick().await;
            let view = doors.view();
            let door = if view.doors[0].left_ms == 0 { "shut" } else { "open" };
            let watchdog = view.watchdog.expect("it has one");
            let armed = if watchdog.armed { "armed" } else { "rests" };
            let troubles = [view.trouble, view.doors[0].trouble.clone(), watchdog.trouble];
            let now = format!("shows {door}, {armed}, {troubles:?}");
            if now != shown {
                println!("{now}");
                shown = now;
            }
        }
    };
    tokio::select! {
        () = hold => {}
        () = show => {}
        _ = ended => {}
    }
    guard.stop().await;
    println!("ended");
}
