//! From scored pairs to groups: two groups become one when the evidence between *all* their records speaks for it, not
//! when one link does.

/// The records of a component, in their neutral order, and the scores of all pairs.
pub(super) struct Component {
    len: usize,
    /// Row by row; symmetric.
    scores: Vec<i64>,
    /// Pairs that nothing may bring together.
    apart: Vec<(usize, usize)>,
}

/// A score that decides: an operator said that the two are one.
pub(super) const PINNED: i64 = 1 << 40;

impl Component {
    pub(super) fn new(len: usize) -> Self {
        Self {
            len,
            scores: vec![0; len * len],
            apart: Vec::new(),
        }
    }

    pub(super) fn set(&mut self, a: usize, b: usize, score: i64) {
        self.scores[a * self.len + b] = score;
        self.scores[b * self.len + a] = score;
    }

    pub(super) fn keep_apart(&mut self, a: usize, b: usize) {
        self.apart.push((a.min(b), a.max(b)));
    }

    /// The groups, each in order, by their first records. Best mean first; of equal means the one whose first records
    /// come first. None is joined below `cut`.
    pub(super) fn groups(mut self, cut: i64) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = (0..self.len).map(|at| vec![at]).collect();
        let mut alive: Vec<usize> = (0..self.len).collect();
        while let Some((a, b)) = self.best(&groups, &alive, cut) {
            for other in alive.iter().copied().filter(|other| *other != a && *other != b) {
                let sum = self.scores[a * self.len + other] + self.scores[b * self.len + other];
                self.set(a, other, sum);
            }
            let mut joined = std::mem::take(&mut groups[b]);
            groups[a].append(&mut joined);
            groups[a].sort_unstable();
            alive.retain(|other| *other != b);
        }
        alive.into_iter().map(|at| std::mem::take(&mut groups[at])).collect()
    }

    fn best(&self, groups: &[Vec<usize>], alive: &[usize], cut: i64) -> Option<(usize, usize)> {
        let mut best: Option<(i64, i64, usize, usize)> = None;
        for (at, a) in alive.iter().enumerate() {
            for b in alive.iter().skip(at + 1) {
                let sum = self.scores[a * self.len + b];
                let count = (groups[*a].len() * groups[*b].len()) as i64;
                let is_better = best.is_none_or(|(best, of, ..)| sum * of > best * count);
                if sum >= cut * count && is_better && !self.are_apart(&groups[*a], &groups[*b]) {
                    best = Some((sum, count, *a, *b));
                }
            }
        }
        best.map(|(_, _, a, b)| (a, b))
    }

    fn are_apart(&self, a: &[usize], b: &[usize]) -> bool {
        let across = |x: &usize, y: &usize| a.contains(x) && b.contains(y);
        self.apart.iter().any(|(x, y)| across(x, y) || across(y, x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(len: usize, scores: &[(usize, usize, i64)], apart: &[(usize, usize)]) -> Vec<Vec<usize>> {
        let mut component = Component::new(len);
        for (a, b, score) in scores {
            component.set(*a, *b, *score);
        }
        for (a, b) in apart {
            component.keep_apart(*a, *b);
        }
        component.groups(0)
    }

    #[test]
    fn the_mean_decides_not_one_link() {
        // A chain whose ends contradict each other.
        assert_eq!(
            groups(3, &[(0, 1, 5), (1, 2, 4), (0, 2, -9)], &[]),
            [vec![0, 1], vec![2]]
        );
        assert_eq!(groups(3, &[(0, 1, 5), (1, 2, 4), (0, 2, -3)], &[]), [vec![0, 1, 2]]);
    }

    #[test]
    fn what_must_not_meet_stays_apart() {
        assert_eq!(groups(2, &[(0, 1, 5)], &[(0, 1)]), [vec![0], vec![1]]);
        assert_eq!(
            groups(3, &[(0, 1, 5), (1, 2, 9), (0, 2, 9)], &[(0, 1)]),
            [vec![0, 2], vec![1]]
        );
        assert_eq!(groups(2, &[(0, 1, PINNED - 9)], &[]), [vec![0, 1]]);
    }
}
