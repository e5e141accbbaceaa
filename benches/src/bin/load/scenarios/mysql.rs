//! The scenarios of MySQL.

use super::{Against, Bound, Direction, Goal, Leg, Road, Scenario, Target, Work, goal, road, tell};
use crate::sample::Figure;

/// What clients send of a local file in one packet.
const OF_A_FILE: usize = 4096;

/// The longest command that servers take as they are installed, with room for its header.
const LONG: usize = 16 * 1024 * 1024 - 1024;

/// Every scenario of MySQL, in the order in which they are measured.
pub(super) fn all() -> Vec<Scenario> {
    let tcp = road(Leg::Tcp, Target::MySql);
    let mut all = Vec::new();
    for prepared in [true, false] {
        all.extend([1, 16, 64].map(|clients| points(prepared, clients, tcp)));
    }
    for target in [Target::MySql, Target::MySqlSocket] {
        all.extend([16, 64].map(|clients| points(true, clients, road(Leg::Unix, target))));
    }
    all.push(points(true, 16, road(Leg::Tcp, Target::MySqlTls)));
    for target in [Target::MySql, Target::MySqlTls] {
        all.extend([Direction::Download, Direction::Upload].map(|direction| rows(direction, target)));
    }
    for len in [OF_A_FILE, LONG] {
        all.extend([true, false].map(|watched| {
            let work = Work::Commands { len, watched };
            plain(work, road(Leg::Tcp, Target::MySqlStub), vec![at_most(Figure::ProxyCpu, BULK)])
        }));
    }
    let logins = |target, goals| plain(Work::Logins { clients: 8 }, road(Leg::Tcp, target), goals);
    let beside_direct = |bound| Goal { figure: Figure::Rate, against: Against::Direct, bound };
    all.push(logins(Target::MySql, vec![beside_direct(None), tell(Figure::Rate), tell(Figure::ProxyCpu)]));
    all.push(logins(Target::MySqlTls, vec![beside_direct(Some(Bound::AtLeast(1.0))), tell(Figure::Rate)]));
    all
}

/// What the broker's CPU for a GB may be of the best peer's.
const BULK: f64 = 0.85;

/// Queries in open sessions.
fn points(prepared: bool, clients: u16, road: Road) -> Scenario {
    let goals = match (road.client, road.target) {
        _ if clients == 1 => vec![at_most(Figure::P50, 1.0), tell(Figure::ProxyCpu)],
        (_, Target::MySqlTls) => to_tls(),
        (Leg::Unix, _) => vec![at_most(Figure::ProxyCpu, 0.75)],
        (Leg::Tcp, _) => vec![at_most(Figure::ProxyCpu, 0.80)],
    };
    plain(Work::Points { prepared, clients }, road, goals)
}

fn rows(direction: Direction, target: Target) -> Scenario {
    let goals = if target.is_tls() { to_tls() } else { vec![at_most(Figure::ProxyCpu, BULK)] };
    plain(Work::Rows(direction), road(Leg::Tcp, target), goals)
}

/// Beside the only peer that asks for TLS as MySQL wants it; and what the whole machine spends, as a share of what it spends
/// where the client speaks TLS itself.
fn to_tls() -> Vec<Goal> {
    let beside_direct = Goal { figure: Figure::MachineCpu, against: Against::Direct, bound: None };
    vec![at_most(Figure::ProxyCpu, 0.85), beside_direct]
}

const fn at_most(figure: Figure, most: f64) -> Goal {
    goal(figure, Against::BestPeer, Bound::AtMost(most))
}

const fn plain(work: Work, road: Road, goals: Vec<Goal>) -> Scenario {
    Scenario { work, road, with_references: false, goals }
}
