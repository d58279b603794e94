//! Disjoint sets: who hangs together with whom.

/// Disjoint sets of positions. The smallest position of a set names it.
#[derive(Clone, Debug)]
pub struct Sets {
    parents: Vec<usize>,
}

impl Sets {
    /// Every position is a set of its own.
    #[must_use]
    pub fn new(len: usize) -> Self {
        Self {
            parents: (0..len).collect(),
        }
    }

    /// How many positions there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "nobody asks whether there are none")]
    pub fn len(&self) -> usize {
        self.parents.len()
    }

    /// The smallest position of the set that `at` is in.
    #[must_use]
    pub fn root(&self, mut at: usize) -> usize {
        while self.parents[at] != at {
            at = self.parents[at];
        }
        at
    }

    /// Joins two sets; the smaller position becomes the root of both.
    pub fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.shortened(a), self.shortened(b));
        self.parents[a.max(b)] = a.min(b);
    }

    fn shortened(&mut self, mut at: usize) -> usize {
        let root = self.root(at);
        while self.parents[at] != root {
            at = std::mem::replace(&mut self.parents[at], root);
        }
        root
    }
}
