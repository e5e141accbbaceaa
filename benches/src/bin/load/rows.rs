//! The rows of a scenario, what their rounds found, and how the broker's compare with the others.
//!
//! Knows no proxy by name. Rounds are compared with themselves: what slows the machine down for a while cancels out.

use std::fmt;

use crate::options::Options;
use crate::proxies::{Kind, Proxy};
use crate::sample::{Figure, Sample};
use crate::scenarios::{Against, Bound, Goal, Scenario, Target, Work};
use crate::statistics::Spread;

/// What stands between the clients and the target.
#[derive(Clone, Copy)]
pub(crate) enum Through {
    /// Nothing: TCP, with TLS where the scenario's target has it.
    Nothing,
    /// A proxy.
    Proxy(&'static dyn Proxy),
}

/// One row: a way, and what each round found. A measurement that failed has left nothing.
pub(crate) struct Row {
    /// The way.
    pub(crate) through: Through,
    /// In the order of the rounds.
    pub(crate) samples: Vec<Option<Sample>>,
}

/// A scenario and what came of it.
pub(crate) struct Outcome {
    /// Which.
    pub(crate) scenario: Scenario,
    /// In the order of the proxies.
    pub(crate) rows: Vec<Row>,
}

/// How one of the broker's figures compares.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Comparison {
    /// Whose figure it is.
    pub(crate) ours: String,
    /// Whom it is compared with: for the best peer, which that was.
    pub(crate) theirs: Option<String>,
    /// Ours divided by theirs, round by round; or ours, if it is compared with nothing.
    pub(crate) ratio: Spread,
    /// Whether the goal is reached; `None` without a goal.
    pub(crate) is_reached: Option<bool>,
}

impl Through {
    /// What the rows call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "direct",
            Self::Proxy(proxy) => proxy.name(),
        }
    }

    /// What its figures are for; `None` without a proxy.
    pub(crate) fn kind(self) -> Option<Kind> {
        match self {
            Self::Nothing => None,
            Self::Proxy(proxy) => Some(proxy.kind()),
        }
    }
}

impl fmt::Debug for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The rows of `scenario`, from those `proxies` that can carry it.
pub(crate) fn of(scenario: &Scenario, proxies: &[&'static dyn Proxy], options: &Options) -> Vec<Row> {
    // Our client of the stub speaks no TLS, and without a proxy there is no memory of one.
    let direct = scenario.road.target != Target::StubTls && !matches!(scenario.work, Work::Hold { .. });
    let serving = proxies.iter().filter(|proxy| takes_part(**proxy, scenario));
    let ways = direct
        .then_some(Through::Nothing)
        .into_iter()
        .chain(serving.map(|proxy| Through::Proxy(*proxy)))
        .filter(|through| options.wants_row(through.name()));
    ways.map(|through| Row { through, samples: Vec::new() }).collect()
}

/// Whether `proxy` has a row in `scenario`.
pub(crate) fn takes_part(proxy: &dyn Proxy, scenario: &Scenario) -> bool {
    proxy.serves(scenario.road, scenario.work)
        && (scenario.with_references || proxy.kind() != Kind::Reference)
}

impl Row {
    /// What the rounds say of a figure; `None` where it does not exist.
    pub(crate) fn spread(&self, figure: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.samples.iter().flatten().filter_map(figure))
    }
}

impl Outcome {
    /// Every comparison that the scenario wants, for each of the broker's rows.
    pub(crate) fn comparisons(&self) -> Vec<(Goal, Comparison)> {
        let ours = || self.rows.iter().filter(|row| row.through.kind() == Some(Kind::Broker));
        let goals = self.scenario.goals.iter();
        goals
            .flat_map(|&goal| ours().filter_map(move |ours| Some((goal, self.compare(goal, ours)?))))
            .collect()
    }

    fn compare(&self, goal: Goal, ours: &Row) -> Option<Comparison> {
        let theirs = match goal.against {
            Against::BestPeer => Some(self.best_peer(goal.figure)?),
            Against::Direct => Some(self.rows.iter().find(|row| row.through.kind().is_none())?),
            Against::Itself => None,
        };
        let ratio = match theirs {
            Some(theirs) => ratio(goal.figure, ours, theirs),
            None => ours.spread(|sample| goal.figure.of(sample)),
        }?;
        Some(Comparison {
            ours: ours.through.name().to_owned(),
            theirs: theirs.map(|row| row.through.name().to_owned()),
            ratio,
            is_reached: goal.bound.map(|bound| match bound {
                Bound::AtMost(most) => ratio.median <= most,
                Bound::AtLeast(least) => ratio.median >= least,
            }),
        })
    }

    /// The peer that does best in this run, by its median.
    fn best_peer(&self, figure: Figure) -> Option<&Row> {
        let peers = self.rows.iter().filter(|row| row.through.kind() == Some(Kind::Peer));
        let medians = peers.filter_map(|row| Some((row, row.spread(|sample| figure.of(sample))?.median)));
        let (best, _) =
            medians.min_by(
                |(_, one), (_, other)| {
                    if figure.is_cost() { one.total_cmp(other) } else { other.total_cmp(one) }
                },
            )?;
        Some(best)
    }
}

/// One row's figure divided by another's, round by round.
fn ratio(figure: Figure, ours: &Row, theirs: &Row) -> Option<Spread> {
    let rounds = ours.samples.iter().zip(&theirs.samples);
    Spread::of(rounds.filter_map(|(ours, theirs)| {
        let ratio = figure.of(ours.as_ref()?)? / figure.of(theirs.as_ref()?)?;
        ratio.is_finite().then_some(ratio)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{proxies, scenarios};

    fn named(name: &str) -> Through {
        let proxy = proxies::ALL.iter().find(|proxy| proxy.name() == name);
        Through::Proxy(*proxy.expect("there is such a proxy"))
    }

    fn row(through: Through, cpu: &[Option<f64>]) -> Row {
        let sample = |us: &Option<f64>| us.map(|us| Sample { proxy_us: Some(us), ..Sample::default() });
        Row { through, samples: cpu.iter().map(sample).collect() }
    }

    fn outcome(rows: Vec<Row>, goal: Goal) -> Outcome {
        let mut scenario = scenarios::all().swap_remove(0);
        scenario.goals = vec![goal];
        Outcome { scenario, rows }
    }

    const CPU: Goal =
        Goal { figure: Figure::ProxyCpu, against: Against::BestPeer, bound: Some(Bound::AtMost(0.8)) };

    #[test]
    fn the_best_peer_is_neither_ours_nor_a_reference() {
        let rows = vec![
            row(named("broker, io_uring"), &[Some(8.0), Some(9.0), Some(30.0)]),
            row(named("PgBouncer"), &[Some(20.0), Some(20.0), Some(20.0)]),
            row(named("nginx"), &[Some(10.0), Some(18.0), Some(15.0)]),
            row(named("relay on tokio"), &[Some(1.0), Some(1.0), Some(1.0)]),
        ];
        let comparisons = outcome(rows, CPU).comparisons();
        let [(_, comparison)] = comparisons.as_slice() else { panic!("one row is ours: {comparisons:?}") };
        assert_eq!(comparison.theirs.as_deref(), Some("nginx"));
        // 0.8, 0.5 and 2.0: round by round, not median by median.
        assert_eq!(comparison.ratio, Spread { min: 0.5, median: 0.8, max: 2.0 });
        assert_eq!(comparison.is_reached, Some(true));
    }

    #[test]
    fn a_round_that_failed_is_not_compared() {
        let rows = vec![
            row(named("broker, epoll"), &[Some(9.0), None, Some(9.0)]),
            row(named("HAProxy"), &[Some(10.0), Some(1.0), None]),
        ];
        let comparisons = outcome(rows, CPU).comparisons();
        assert_eq!(comparisons[0].1.ratio, Spread { min: 0.9, median: 0.9, max: 0.9 });
        assert_eq!(comparisons[0].1.is_reached, Some(false));
    }

    #[test]
    fn a_rate_is_best_where_it_is_highest_and_a_figure_may_count_by_itself() {
        let rate = |through, rate| Row {
            through,
            samples: vec![Some(Sample { rate: Some(rate), proxy_us: Some(rate), ..Sample::default() })],
        };
        let rows = || {
            vec![
                rate(named("broker, io_uring"), 30.0),
                rate(named("HAProxy"), 10.0),
                rate(named("nginx"), 20.0),
            ]
        };
        let fastest = Goal { figure: Figure::Rate, bound: Some(Bound::AtLeast(1.5)), ..CPU };
        let comparisons = outcome(rows(), fastest).comparisons();
        assert_eq!((comparisons[0].1.ratio.median, comparisons[0].1.is_reached), (1.5, Some(true)));
        let absolute = Goal { against: Against::Itself, bound: Some(Bound::AtMost(29.0)), ..CPU };
        let comparisons = outcome(rows(), absolute).comparisons();
        assert_eq!((comparisons[0].1.ratio.median, comparisons[0].1.is_reached), (30.0, Some(false)));
        assert_eq!(comparisons[0].1.theirs, None);
    }
}
