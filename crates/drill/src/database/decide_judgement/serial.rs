//! A store that carries out one operation after another, and clients that overlap: every history from here is
//! serializable, in every session in its own order, whatever the clients were told.

use std::collections::BTreeMap;

use world::Chance;

use super::super::decide_history::{Action, FinalState, History, Isolation, Operation, Outcome, Step, Via};

/// How much.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub operations: u64,
    pub clients: u32,
    pub keys: u64,
    pub accounts: u64,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes { operations: 600, clients: 6, keys: 8, accounts: 5 }
    }
}

struct Store {
    chance: Chance,
    sizes: Sizes,
    survived: FinalState,
    next: i64,
    tried: Vec<i64>,
}

/// The history of a seed, and what survives it.
pub fn run(seed: u64, sizes: Sizes) -> (History, FinalState) {
    let survived = FinalState {
        balances: vec![100; sizes.accounts as usize],
        versions: vec![0; sizes.clients as usize],
        ..FinalState::default()
    };
    let tried = vec![0; sizes.clients as usize];
    let mut store = Store { chance: Chance::from_seed(seed), sizes, survived, next: 1, tried };
    let mut free_at = vec![0_u64; sizes.clients as usize];
    let mut operations = Vec::new();
    let mut now = 0;
    for _ in 0..sizes.operations {
        // The store is at `now`; the operation began before and ends after, inside its client's free time.
        now += 10 + store.chance.below(50);
        let client = store.chance.below(u64::from(sizes.clients)) as usize;
        if free_at[client] >= now {
            continue;
        }
        let invoked_us = free_at[client] + 1 + store.chance.below(now - free_at[client]);
        let invoked_us = invoked_us.min(now);
        let ended_us = now + store.chance.below(400);
        free_at[client] = ended_us;
        let (action, outcome) = store.carry_out(client as u32);
        let due_us = invoked_us;
        let client = client as u32;
        let ended_us = Some(ended_us).filter(|_| !matches!(outcome, Outcome::Unknown { .. }) || now % 2 == 0);
        operations.push(Operation { client, via: Via::Front, due_us, invoked_us, ended_us, action, outcome });
    }
    operations.sort_by_key(|o| o.invoked_us);
    let history = History {
        isolation: Isolation::Serializable,
        bank_total: 100 * sizes.accounts as i64,
        ended_us: now + 1_000,
        operations,
        ..History::default()
    };
    (history, store.survived)
}

impl Store {
    /// One operation, whole or not at all, and what its client is told.
    fn carry_out(&mut self, client: u32) -> (Action, Outcome) {
        let what = self.chance.below(10);
        let (outcome, happens) = match self.chance.below(10) {
            0 => (Outcome::Failed { why: "40001".into() }, false),
            1 => {
                let happens = self.chance.chance(0.5);
                (Outcome::Unknown { why: "connection broken".into(), false_ack: false }, happens)
            }
            _ => (Outcome::Ok, true),
        };
        let told = outcome == Outcome::Ok;
        let action = match what {
            0 | 1 => {
                let id = self.fresh();
                if happens {
                    self.survived.registers.push(id);
                }
                Action::Register { id }
            }
            2..=6 => Action::Transaction { steps: self.transaction(happens, told) },
            7 => self.transfer(happens, told),
            8 => {
                let version = self.tried[client as usize] + 1;
                self.tried[client as usize] = version;
                if happens {
                    self.survived.versions[client as usize] = version;
                }
                Action::SessionWrite { session: client, version }
            }
            _ => Action::SessionRead {
                session: client,
                versions: told.then(|| self.survived.versions.clone()),
            },
        };
        (action, outcome)
    }

    fn fresh(&mut self) -> i64 {
        self.next += 1;
        self.next
    }

    fn transaction(&mut self, happens: bool, told: bool) -> Vec<Step> {
        let mut lists: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        let mut steps = Vec::new();
        for _ in 0..=self.chance.below(3) {
            let key = self.chance.below(self.sizes.keys) as i64;
            let value = self.fresh();
            let old = self.survived.lists.get(&key).cloned().unwrap_or_default();
            let list = lists.entry(key).or_insert(old);
            if self.chance.chance(0.5) {
                list.push(value);
                steps.push(Step::Append { key, value });
            } else {
                steps.push(Step::Read { key, list: told.then(|| list.clone()) });
            }
        }
        if happens {
            self.survived.lists.extend(lists);
        }
        steps
    }

    fn transfer(&mut self, happens: bool, told: bool) -> Action {
        if self.chance.chance(0.4) {
            return Action::Bank { balances: told.then(|| self.survived.balances.clone()) };
        }
        let (from, to) = (self.chance.below(self.sizes.accounts), self.chance.below(self.sizes.accounts));
        let amount = self.chance.below(20) as i64;
        if happens {
            self.survived.balances[from as usize] -= amount;
            self.survived.balances[to as usize] += amount;
        }
        Action::Transfer { from: from as i64, to: to as i64, amount }
    }
}
