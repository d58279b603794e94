//! Who goes next: calls wait in lanes by what they are for, and no lane starves. Pure.

use std::collections::VecDeque;

/// What a call is for; the earlier, the more often it is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// A customer on the way from one team to the next.
    Handoff,
    /// Something that a tool told us just now.
    Webhook,
    /// The usual work.
    #[default]
    Live,
    /// A write that failed before.
    Retry,
    /// Reading a stream for the first time.
    Backfill,
}

impl Lane {
    /// Every lane, the most urgent first.
    pub const ALL: [Self; 5] = [Self::Handoff, Self::Webhook, Self::Live, Self::Retry, Self::Backfill];

    /// The lane's part of the service while all of them wait: 16, 8, 4, 2 and 1 of 31.
    #[must_use]
    pub const fn weight(self) -> u64 {
        match self {
            Self::Handoff => 16,
            Self::Webhook => 8,
            Self::Live => 4,
            Self::Retry => 2,
            Self::Backfill => 1,
        }
    }

    /// How far the lane's turn moves back with each call that is served.
    const fn stride(self) -> u64 {
        16 / self.weight()
    }
}

/// The waiting calls (stride scheduling).
///
/// The first of a lane of weight *w* waits for at most *(31 - w) / w + 4* calls of the other lanes, however many there
/// are: 34 for backfill, 4 for handoffs.
#[derive(Clone, Debug)]
pub struct Lanes<T> {
    queues: [VecDeque<T>; 5],
    /// When the lane's first is served: the least goes first.
    turns: [u64; 5],
    /// The turn that was last served.
    now: u64,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self {
            queues: [const { VecDeque::new() }; 5],
            turns: [0; 5],
            now: 0,
        }
    }
}

impl<T: Copy + PartialEq> Lanes<T> {
    /// Puts a call behind those of its lane. A lane that was empty has not saved up anything.
    pub fn push(&mut self, lane: Lane, call: T) {
        let at = lane as usize;
        if self.queues[at].is_empty() {
            self.turns[at] = self.turns[at].max(self.now);
        }
        self.queues[at].push_back(call);
    }

    /// The waiting calls in the order in which they would be served, were there no more to come.
    pub fn order(&self) -> impl Iterator<Item = T> + '_ {
        let mut turns = self.turns;
        let mut taken = [0_usize; 5];
        std::iter::from_fn(move || {
            let waiting = Lane::ALL
                .into_iter()
                .filter(|lane| taken[*lane as usize] < self.queues[*lane as usize].len());
            let lane = waiting.min_by_key(|lane| (turns[*lane as usize], *lane))?;
            let at = lane as usize;
            turns[at] += lane.stride();
            taken[at] += 1;
            self.queues[at].get(taken[at] - 1).copied()
        })
    }

    /// The call is served: it leaves, and its lane's turn moves back.
    pub fn serve(&mut self, call: T) {
        if let Some(lane) = self.leave(call) {
            let at = lane as usize;
            self.now = self.now.max(self.turns[at]);
            self.turns[at] += lane.stride();
        }
    }

    /// The call leaves without having been served.
    pub fn leave(&mut self, call: T) -> Option<Lane> {
        Lane::ALL.into_iter().find(|lane| {
            let queue = &mut self.queues[*lane as usize];
            let place = queue.iter().position(|waiting| *waiting == call);
            place.and_then(|place| queue.remove(place)).is_some()
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lane() -> impl Strategy<Value = Lane> {
        (0..Lane::ALL.len()).prop_map(|at| Lane::ALL[at])
    }

    proptest! {
        /// Any arrivals, interleaved with service in any way: nobody at the head of a lane waits longer than stated.
        #[test]
        fn nobody_starves(steps in prop::collection::vec((prop::collection::vec(lane(), 0..4), 0_usize..4), 1..200)) {
            let mut lanes = Lanes::default();
            let mut next = 0_u32;
            // For each lane: how many calls of other lanes were served since its present head became the head.
            let mut waited = [0_u64; 5];
            for (arrivals, serves) in steps {
                for lane in arrivals {
                    lanes.push(lane, next);
                    next += 1;
                }
                for _ in 0..serves {
                    let Some(first) = lanes.order().next() else { break };
                    let served = Lane::ALL.into_iter().find(|lane| lanes.queues[*lane as usize].contains(&first)).unwrap();
                    lanes.serve(first);
                    for lane in Lane::ALL {
                        let is_waiting = lane != served && !lanes.queues[lane as usize].is_empty();
                        waited[lane as usize] = if is_waiting { waited[lane as usize] + 1 } else { 0 };
                        let bound = (31 - lane.weight()) / lane.weight() + 4;
                        prop_assert!(waited[lane as usize] <= bound, "{lane:?} waits for {waited:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn while_all_wait_each_gets_its_part() {
        let mut lanes = Lanes::default();
        for lane in Lane::ALL {
            for call in 0..310 {
                lanes.push(lane, (lane, call));
            }
        }
        let mut served = [0_u64; 5];
        for _ in 0..310 {
            let first = lanes.order().next().unwrap();
            served[first.0 as usize] += 1;
            lanes.serve(first);
        }
        for (lane, count) in Lane::ALL.into_iter().zip(served) {
            assert!(count.abs_diff(lane.weight() * 10) <= 1, "{served:?}");
        }
    }

    #[test]
    fn a_lane_keeps_its_own_order() {
        let mut lanes = Lanes::default();
        for call in 0..5 {
            lanes.push(Lane::Live, call);
        }
        lanes.leave(2);
        assert_eq!(lanes.order().collect::<Vec<_>>(), [0, 1, 3, 4]);
    }
}
