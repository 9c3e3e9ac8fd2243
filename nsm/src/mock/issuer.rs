//! Which chain the mock shows, and when it issues a new leaf.

use super::mint::{
    Chain, ChainRecipe, DevelopmentAuthority, Identity, LEAF_BACKDATING_SECONDS,
    LEAF_LIFETIME_SECONDS,
};
use crate::time::UnixMillis;

/// AWS issues a new leaf about this long before the old one runs out.
const ROLLOVER_SECONDS: u64 = 15 * 60;

/// The chain in use.
#[derive(Debug, Default)]
pub(super) struct Issuer {
    current: Option<Issued>,
}

#[derive(Debug)]
struct Issued {
    chain: Chain,
    issued_seconds: u64,
}

impl Issuer {
    /// The chain to show at `now`: the one in use, or a new one when there is none, when its leaf is
    /// about to run out, or when the clock was put back before it.
    pub(super) fn chain(
        &mut self,
        authority: &DevelopmentAuthority,
        identity: &Identity,
        now: UnixMillis,
    ) -> &Chain {
        if !self
            .current
            .as_ref()
            .is_some_and(|issued| issued.serves(now.seconds()))
        {
            self.current = None;
        }
        let current = self.current.get_or_insert_with(|| Issued {
            chain: ChainRecipe::new(authority, identity, now).mint(),
            issued_seconds: now.seconds(),
        });
        &current.chain
    }
}

impl Issued {
    fn serves(&self, now_seconds: u64) -> bool {
        let from = self.issued_seconds.saturating_sub(LEAF_BACKDATING_SECONDS);
        let until = self
            .issued_seconds
            .saturating_add(LEAF_LIFETIME_SECONDS - ROLLOVER_SECONDS);
        (from..until).contains(&now_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUED_MILLIS: u64 = 1_785_784_796_000;

    #[test]
    fn the_leaf_changes_a_quarter_of_an_hour_before_its_end() {
        let authority = DevelopmentAuthority::insecure_fixed();
        let identity = Identity::example();
        let mut issuer = Issuer::default();
        let mut leaf = |millis: u64| {
            let now = UnixMillis(ISSUED_MILLIS + millis);
            issuer.chain(&authority, &identity, now).leaf.clone()
        };
        let first = leaf(0);
        let last_second = (2 * 3600 + 45 * 60) * 1000 - 1;
        assert_eq!(leaf(last_second), first);
        let second = leaf(last_second + 1);
        assert_ne!(second, first);
        // The clock goes back: the new leaf is not valid yet, so it cannot be shown.
        assert_eq!(leaf(0), first);
    }
}
