use super::block::{Brackets, first};

/// The number of open brackets in a value, of either kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Nesting {
    depth: u64,
}

impl Nesting {
    /// After the bracket that begins the value.
    pub(super) const BEGUN: Self = Self { depth: 1 };

    /// Processes brackets in order, up to the one that ends the value, and
    /// returns its position.
    ///
    /// The value can't end before the depth-th closing bracket from here. If any
    /// brackets open before that one, their number is the depth after it, and
    /// the search starts again from there.
    #[inline(always)]
    pub(super) fn pass(&mut self, mut brackets: Brackets) -> Option<usize> {
        loop {
            let closing = u64::from(brackets.closing.count_ones());
            if closing < self.depth {
                self.depth += u64::from(brackets.opening.count_ones());
                self.depth -= closing;
                return None;
            }
            for _ in 1..self.depth {
                brackets.closing &= brackets.closing.wrapping_sub(1);
            }
            let last = first(brackets.closing)?;
            let behind = u64::MAX << last << 1;
            self.depth = u64::from((brackets.opening & !behind).count_ones());
            if self.depth == 0 {
                return Some(last);
            }
            brackets.opening &= behind;
            brackets.closing &= behind;
        }
    }
}
