//! Weights from pairs of which the truth is known: logistic regression, held at given weights where the pairs say
//! little. Offline; the same pairs in the same order give the same weights.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positions in memory, and doublings below 64"
)]

use super::compare::{HOUSEHOLD, LEVELS, TERMS};
use super::index::{Asked, Slot};
use super::keys::cap;
use super::resolver::Matcher;
use super::weights::{Context, Weights};

/// Numbers per context that are learned.
const SIZE: usize = LEVELS + TERMS.len();

/// Pairs whose truth is known, as the scorer sees them.
#[derive(Debug, Default)]
pub struct Pairs {
    pairs: Vec<Pair>,
    levels: Vec<u16>,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    from: u32,
    to: u32,
    terms: [u8; TERMS.len()],
    context: Context,
    is_same: bool,
    weight: f32,
}

/// What a training did.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// Pairs used, by context.
    pub pairs: [usize; 3],
    /// How many of them are one customer.
    pub same: [usize; 3],
    /// Mean loss in bits before and after.
    pub loss: [(f64, f64); 3],
}

impl Pairs {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// How many of them are one customer.
    #[must_use]
    pub fn same(&self) -> usize {
        self.pairs.iter().filter(|pair| pair.is_same).count()
    }

    /// Adds every pair of records that is found by a key. `same` knows the truth, `weight` is what each counts.
    pub fn gather(&mut self, matcher: &Matcher, weight: f32, same: &dyn Fn(Slot, Slot) -> bool) {
        let index = &matcher.index;
        let mut seen = vec![u32::MAX; index.slots() as usize];
        let mut one = [0];
        for slot in 0..index.slots() {
            let Some(entry) = index.get(slot) else {
                continue;
            };
            for key in entry.keys.iter().filter(|key| index.postings.len(**key) <= cap(**key)) {
                let earlier = index.postings.of(*key, &mut one).iter().filter(|other| **other < slot);
                for other in earlier.filter(|other| std::mem::replace(&mut seen[**other as usize], slot) != slot) {
                    self.add(matcher, slot, *other, same(slot, *other), weight);
                }
            }
        }
    }

    /// Adds one pair.
    pub fn add(&mut self, matcher: &Matcher, a: Slot, b: Slot, is_same: bool, weight: f32) {
        let (Some(a), Some(b)) = (matcher.index.get(a), matcher.index.get(b)) else {
            return;
        };
        let (context, evidence) = matcher.index.compare(a, b);
        let mut terms = [0; TERMS.len()];
        let mut asked = Asked::default();
        for (term, place) in terms.iter_mut().enumerate() {
            if evidence.terms & (1 << term) != 0 {
                *place = matcher.index.doublings(term, &a.features, &b.features, &mut asked) as u8;
            }
        }
        let from = self.levels.len() as u32;
        self.levels.extend_from_slice(evidence.levels());
        let to = self.levels.len() as u32;
        self.pairs.push(Pair {
            from,
            to,
            terms,
            context,
            is_same,
            weight,
        });
    }

    /// Pairs as a person would be asked about them: as many from each band of scores, from hopeless to certain.
    #[must_use]
    pub fn reviewed(&self, weights: &Weights, count: usize) -> Self {
        const BANDS: [f64; 7] = [-6.0, -3.0, -1.5, 0.0, 1.5, 3.0, 6.0];
        let mut bands: [Vec<&Pair>; BANDS.len() + 1] = std::array::from_fn(|_| Vec::new());
        for pair in &self.pairs {
            let score: f64 = self.inputs(pair).map(|(at, x)| weights.get(pair.context, at) * x).sum();
            bands[BANDS.partition_point(|limit| *limit <= score)].push(pair);
        }
        let mut chosen = Self::default();
        for (at, band) in bands.iter().enumerate() {
            let wanted = (count - chosen.len()) / (bands.len() - at);
            let taken = wanted.min(band.len());
            for number in 0..taken {
                let pair = band[number * band.len() / taken];
                let from = chosen.levels.len() as u32;
                chosen.levels.extend_from_slice(
                    self.levels
                        .get(pair.from as usize..pair.to as usize)
                        .unwrap_or_default(),
                );
                let to = chosen.levels.len() as u32;
                chosen.pairs.push(Pair { from, to, ..*pair });
            }
        }
        chosen
    }

    /// Adds the pairs of another collection behind these.
    pub fn append(&mut self, other: Self) {
        let offset = self.levels.len() as u32;
        self.levels.extend(other.levels);
        let moved = |pair: Pair| Pair {
            from: pair.from + offset,
            to: pair.to + offset,
            ..pair
        };
        self.pairs.extend(other.pairs.into_iter().map(moved));
    }

    fn inputs<'a>(&'a self, pair: &'a Pair) -> impl Iterator<Item = (usize, f64)> + 'a {
        let levels = self
            .levels
            .get(pair.from as usize..pair.to as usize)
            .unwrap_or_default();
        let levels = levels.iter().map(|level| (usize::from(*level), 1.0));
        let terms = pair.terms.iter().enumerate().filter(|(_, n)| **n > 0);
        levels.chain(terms.map(|(term, n)| (LEVELS + term, f64::from(*n))))
    }

    /// The weights that fit best, each drawn to its prior with the given strength.
    #[must_use]
    pub fn fit(&self, prior: &Weights, strength: f64) -> (Weights, Report) {
        let mut weights = prior.clone();
        let mut report = Report {
            pairs: [0; 3],
            same: [0; 3],
            loss: [(0.0, 0.0); 3],
        };
        for (at, context) in Context::ALL.into_iter().enumerate() {
            let pairs: Vec<&Pair> = self.pairs.iter().filter(|pair| pair.context == context).collect();
            report.pairs[at] = pairs.len();
            report.same[at] = pairs.iter().filter(|pair| pair.is_same).count();
            if report.same[at] == 0 || report.same[at] == pairs.len() {
                continue;
            }
            let means: Vec<f64> = (0..SIZE)
                .map(|level| prior.get(context, level) * std::f64::consts::LN_2)
                .collect();
            let (fitted, before, after) = self.newton(&pairs, &means, strength);
            report.loss[at] = (before, after);
            // A guard is a rule, whatever the errors of a set look like.
            let learned = fitted
                .iter()
                .enumerate()
                .filter(|(level, _)| !HOUSEHOLD.contains(level));
            for (level, weight) in learned {
                weights.set(context, level, weight / std::f64::consts::LN_2);
            }
        }
        (weights, report)
    }

    fn newton(&self, pairs: &[&Pair], means: &[f64], strength: f64) -> (Vec<f64>, f64, f64) {
        let mut weights = means.to_vec();
        let (mut first, mut last) = (0.0, f64::INFINITY);
        for round in 0..30 {
            let (loss, gradient, mut hessian) = self.slope(pairs, &weights);
            if round == 0 {
                first = loss;
            }
            let pull: Vec<f64> = weights
                .iter()
                .zip(means)
                .map(|(weight, mean)| strength * (weight - mean))
                .collect();
            let mut step: Vec<f64> = gradient.iter().zip(&pull).map(|(slope, pull)| slope + pull).collect();
            for at in 0..SIZE {
                hessian[at * SIZE + at] += strength + 1e-9;
            }
            solve(&mut hessian, &mut step);
            let longest = step.iter().fold(0.0_f64, |most, step| most.max(step.abs()));
            let scale = if longest > 4.0 { 4.0 / longest } else { 1.0 };
            for (at, weight) in weights.iter_mut().enumerate() {
                *weight -= scale * step[at];
                if at >= LEVELS {
                    *weight = weight.min(0.0);
                }
            }
            if (last - loss).abs() < 1e-7 {
                break;
            }
            last = loss;
        }
        let (loss, _, _) = self.slope(pairs, &weights);
        (weights, first, loss)
    }

    /// Mean loss in bits, gradient and Hessian.
    fn slope(&self, pairs: &[&Pair], weights: &[f64]) -> (f64, Vec<f64>, Vec<f64>) {
        let (mut loss, mut total) = (0.0, 0.0);
        let mut gradient = vec![0.0; SIZE];
        let mut hessian = vec![0.0; SIZE * SIZE];
        let mut inputs = Vec::new();
        for pair in pairs {
            inputs.clear();
            inputs.extend(self.inputs(pair));
            let score: f64 = inputs.iter().map(|(at, x)| weights[*at] * x).sum();
            let chance = 1.0 / (1.0 + (-score).exp());
            let weight = f64::from(pair.weight);
            let wanted = if pair.is_same { 1.0 } else { 0.0 };
            loss -= weight * (if pair.is_same { chance } else { 1.0 - chance }).max(1e-12).log2();
            total += weight;
            let (error, bend) = (weight * (chance - wanted), weight * (chance * (1.0 - chance)).max(1e-6));
            for (at, x) in &inputs {
                gradient[*at] += error * x;
                let row = &mut hessian[at * SIZE..(at + 1) * SIZE];
                for (other, y) in &inputs {
                    row[*other] += bend * x * y;
                }
            }
        }
        (loss / total, gradient, hessian)
    }
}

/// Solves `matrix * x = vector` in place for a symmetric positive matrix (Cholesky).
fn solve(matrix: &mut [f64], vector: &mut [f64]) {
    let size = vector.len();
    for i in 0..size {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| matrix[i * size + k] * matrix[j * size + k]).sum();
            let rest = matrix[i * size + j] - dot;
            matrix[i * size + j] = if i == j {
                rest.max(1e-12).sqrt()
            } else {
                rest / matrix[j * size + j]
            };
        }
    }
    for i in 0..size {
        let dot: f64 = (0..i).map(|k| matrix[i * size + k] * vector[k]).sum();
        vector[i] = (vector[i] - dot) / matrix[i * size + i];
    }
    for i in (0..size).rev() {
        let dot: f64 = (i + 1..size).map(|k| matrix[k * size + i] * vector[k]).sum();
        vector[i] = (vector[i] - dot) / matrix[i * size + i];
    }
}
