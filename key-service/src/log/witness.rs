//! What the service knows about one witness, and when it may ask it again.

/// The first pause after a failure, in milliseconds; each further one is twice as long.
const FIRST_PAUSE_MILLIS: u64 = 200;
/// The longest pause: a witness that comes back is noticed this soon.
const LONGEST_PAUSE_MILLIS: u64 = 10_000;
/// So often in a row a witness may correct what we think it knows, before that counts as a failure.
const MAX_CORRECTIONS: u32 = 3;

/// One witness of the bundle in force.
#[derive(Clone, Debug)]
pub(super) struct Witness {
    /// The name of its key.
    pub(super) name: String,
    /// The size it saw last, by its own word; `None` before it said so.
    known: Option<u64>,
    asking: bool,
    corrections: u32,
    failures: u32,
    /// Not asked before this moment, in milliseconds of the caller's clock.
    not_before: u64,
    trouble: Option<String>,
}

impl Witness {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            known: None,
            asking: false,
            corrections: 0,
            failures: 0,
            not_before: 0,
            trouble: None,
        }
    }

    /// Whether it can still cosign a checkpoint of this size: it never goes back.
    pub(super) fn can_cosign(&self, size: u64) -> bool {
        self.known.is_none_or(|known| known <= size)
    }

    /// The size to start from when it is shown `size`. As long as it said nothing we suppose that it is where we
    /// left it; it corrects us if not.
    pub(super) fn old_size(&self, size: u64) -> u64 {
        self.known.unwrap_or(size)
    }

    /// Whether it may be asked now.
    pub(super) fn is_free(&self, now: u64) -> bool {
        !self.asking && self.not_before <= now
    }

    /// When its pause ends, if it is in one.
    pub(super) fn pause_ends(&self, now: u64) -> Option<u64> {
        (!self.asking && self.not_before > now).then_some(self.not_before)
    }

    /// Why it did not cosign the last time, in words; `None` when it did, or was not asked yet.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    pub(super) fn asked(&mut self) {
        self.asking = true;
    }

    pub(super) fn cosigned(&mut self, size: u64) {
        self.asking = false;
        self.known = Some(self.known.map_or(size, |known| known.max(size)));
        self.corrections = 0;
        self.failures = 0;
        self.not_before = 0;
        self.trouble = None;
    }

    /// It said that it knows another size than we thought.
    pub(super) fn corrected(&mut self, size: u64, now: u64) {
        self.known = Some(size);
        self.corrections += 1;
        if self.corrections > MAX_CORRECTIONS {
            self.failed("keeps correcting the size it knows".to_owned(), now);
        } else {
            self.asking = false;
        }
    }

    /// It was away, refused, or said something that does not count.
    pub(super) fn failed(&mut self, trouble: String, now: u64) {
        self.asking = false;
        self.corrections = 0;
        let pause = FIRST_PAUSE_MILLIS
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST_PAUSE_MILLIS);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.saturating_add(pause);
        self.trouble = Some(trouble);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_end_with_a_cosignature() {
        let mut witness = Witness::new("w".to_owned());
        let mut now = 0;
        let mut pauses = Vec::new();
        for _ in 0..9 {
            assert!(witness.is_free(now));
            witness.asked();
            assert!(!witness.is_free(now));
            witness.failed("away".to_owned(), now);
            let ends = witness.pause_ends(now).unwrap();
            pauses.push(ends - now);
            assert!(!witness.is_free(ends - 1));
            now = ends;
        }
        assert_eq!(
            pauses,
            [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]
        );
        witness.asked();
        witness.cosigned(5);
        assert_eq!((witness.trouble(), witness.pause_ends(now)), (None, None));
        assert!(witness.can_cosign(5) && !witness.can_cosign(4));
    }

    #[test]
    fn a_witness_that_cannot_make_up_its_mind_is_left_alone_for_a_while() {
        let mut witness = Witness::new("w".to_owned());
        for round in 0..4 {
            witness.asked();
            witness.corrected(round % 2, 0);
            assert_eq!(witness.is_free(0), round < 3);
        }
        assert!(witness.trouble().is_some());
    }
}
