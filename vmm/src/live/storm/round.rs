//! What one round of a storm is: which operations, on how large a machine, for how long. All from one seed.

use crate::{
    live::{Config, Scenario},
    memory::Backing,
    ops::{Effect, Operation, Rng},
};
use nostale_guest::abi::MAX_VCPUS;
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use std::time::Duration;

/// Rounds are about this long: long enough for every operation to come by, short enough for many combinations.
const LENGTHS: [u64; 5] = [1, 2, 3, 5, 8];
/// Memory is at most this many times what was asked for.
const LARGER: u64 = 4;
/// Least memory of a round, in pages: two huge pages and room for operations.
const LEAST: u64 = 2048;

/// One round.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) scenario: Scenario,
    pub(super) config: Config,
    pub(super) time: Duration,
}

/// Round `number` of a storm of `operations`, all of which can run on `backing`.
pub(super) fn draw(number: u64, operations: &[&'static Operation], backing: Backing, config: &Config, room: u64) -> Round {
    let seed = config.seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut rng = Rng::seed_from_u64(seed);
    // Where contents stay, every single write is accounted for: most rounds are of that kind.
    let keeps = |operation: &&&'static Operation| matches!(operation.on(backing), Effect::Preserves | Effect::Gathers);
    let strict = rng.random_range(0..4) != 0 && operations.iter().any(|operation| keeps(&operation));
    let pool: Vec<_> = operations.iter().filter(|operation| !strict || keeps(operation)).copied().collect();
    let wanted = if rng.random_range(0..4) == 0 { pool.len() } else { rng.random_range(1..=pool.len()).max(2.min(pool.len())) };
    let scenario = Scenario { operations: pick(&mut rng, pool, wanted, backing), backing };

    let mut config = Config { seed: seed & 0xffff_ffff, storm_round: true, ..config.clone() };
    if rng.random_bool(0.5) {
        config.vcpus = rng.random_range(1..=(2 * config.vcpus).min(MAX_VCPUS));
        config.host_writers = rng.random_range(0..=2 * config.host_writers.max(1));
        let pages = if rng.random_bool(0.5) { config.pages / LARGER } else { config.pages * LARGER };
        config.pages = pages.max(LEAST).min(room).max(config.pages.min(LEAST));
    }
    let time = Duration::from_secs(*LENGTHS.choose(&mut rng).unwrap_or(&1));
    Round { scenario, config, time }
}

/// Draws up to `wanted` operations by their weights, none of which cannot go with those before it.
fn pick(rng: &mut Rng, mut pool: Vec<&'static Operation>, wanted: usize, backing: Backing) -> Vec<&'static Operation> {
    let mut scenario = Scenario { operations: Vec::new(), backing };
    while scenario.operations.len() < wanted && !pool.is_empty() {
        let total: u32 = pool.iter().map(|operation| operation.weight).sum();
        let mut at = rng.random_range(0..total.max(1));
        let drawn = pool.iter().position(|operation| {
            let here = at < operation.weight;
            at = at.saturating_sub(operation.weight);
            here
        });
        scenario.operations.push(pool.swap_remove(drawn.unwrap_or(0)));
        if scenario.inapplicable().is_some() {
            scenario.operations.pop();
        }
    }
    scenario.operations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{live::plan::by_name_only, ops};

    fn config() -> Config {
        Config {
            vcpus: 2,
            host_writers: 1,
            pages: 16384,
            seed: 7,
            file_dir: std::env::temp_dir(),
            stall_bound: Duration::from_secs(10),
            plant: None,
            until_violation: false,
            storm_round: false,
            layout: None,
            told: None,
        }
    }

    fn applicable(backing: Backing) -> Vec<&'static Operation> {
        let fits = |operation: &&'static Operation| !matches!(operation.on(backing), Effect::Inapplicable(_));
        ops::all().filter(|operation| !by_name_only(operation)).filter(fits).collect()
    }

    #[test]
    fn a_seed_gives_the_same_rounds_twice_and_they_make_sense() {
        for backing in Backing::ALL {
            let operations = applicable(backing);
            for number in 0..200 {
                let round = || draw(number, &operations, backing, &config(), 1 << 20);
                let (once, again) = (round(), round());
                assert_eq!(once.scenario.name(), again.scenario.name());
                assert_eq!((once.config.seed, once.config.vcpus, once.time), (again.config.seed, again.config.vcpus, again.time));
                assert!(!once.scenario.operations.is_empty() && once.scenario.inapplicable().is_none(), "{}", once.scenario);
                assert!((1..=MAX_VCPUS).contains(&once.config.vcpus) && once.config.pages >= LEAST);
            }
        }
    }

    #[test]
    fn every_operation_comes_by_and_most_rounds_account_for_every_write() {
        let operations = applicable(Backing::MEMFD);
        let rounds: Vec<_> = (0..400).map(|number| draw(number, &operations, Backing::MEMFD, &config(), 1 << 20)).collect();
        for operation in &operations {
            let drawn = rounds.iter().filter(|round| round.scenario.operations.iter().any(|other| other.name == operation.name));
            // Those that go with few others come by less often than their weight says.
            assert!(drawn.count() >= operation.weight as usize, "{}", operation.name);
        }
        let keeps = |effect| matches!(effect, Effect::Preserves | Effect::Gathers);
        let strict = rounds.iter().filter(|round| round.scenario.effects().all(keeps)).count();
        assert!(strict > 200, "{strict} of 400");
    }
}
