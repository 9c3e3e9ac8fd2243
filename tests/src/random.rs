//! Numbers that look random and are the same in every run, so that a failure can be seen again.

/// SplitMix64 (Steele, Lea, Flood 2014): small, and good enough to choose places and bits.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The sequence that belongs to `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        // The slight preference for small numbers does no harm here.
        let number = self.bits().checked_rem(bound).unwrap_or(0);
        usize::try_from(number).unwrap_or(0)
    }

    /// One of `items`, none when there is none.
    pub fn choice<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }

    /// Random bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.byte()).collect()
    }

    /// A random byte.
    pub fn byte(&mut self) -> u8 {
        let [byte, ..] = self.bits().to_le_bytes();
        byte
    }

    /// Changes `bytes` in one to four places: bits, bytes, parts left out, repeated, cut off or put in.
    pub fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let place = self.below(bytes.len());
            let length = self.below(16).min(bytes.len().saturating_sub(place));
            let part = place..place.saturating_add(length);
            match self.below(7) {
                0 => {
                    if let Some(byte) = bytes.get_mut(place) {
                        *byte ^= 1 << self.below(8);
                    }
                }
                1 => {
                    let new = self.byte();
                    if let Some(byte) = bytes.get_mut(place) {
                        *byte = new;
                    }
                }
                2 => drop(bytes.drain(part)),
                3 => {
                    let again = bytes.get(part).unwrap_or_default().to_vec();
                    drop(bytes.splice(place..place, again));
                }
                4 => bytes.truncate(place),
                5 => {
                    let new = self.bytes(length);
                    drop(bytes.splice(place..place, new));
                }
                _ => {
                    // Numbers at the edges of their types.
                    let edges = [0x00, 0x17, 0x18, 0x1b, 0x7f, 0x80, 0x9f, 0xbf, 0xf6, 0xff];
                    let edge = self.choice(&edges).copied().unwrap_or(0);
                    if let Some(byte) = bytes.get_mut(place) {
                        *byte = edge;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_published_one() {
        let mut random = Random::new(1_234_567);
        assert_eq!(random.bits(), 6_457_827_717_110_365_317);
        assert_eq!(random.bits(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn mutation_changes_and_never_fails() {
        let mut random = Random::new(1);
        let mut changed = 0;
        for length in 0..200 {
            let bytes = vec![b'a'; length];
            let mut mutated = bytes.clone();
            random.mutate(&mut mutated);
            changed += usize::from(mutated != bytes);
        }
        assert!(changed > 150, "{changed}");
    }
}
