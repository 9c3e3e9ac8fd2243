//! Which sets of witnesses are enough.

/// A member of a group: an index into the witnesses, or into the groups defined before.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Member {
    Witness(usize),
    Group(usize),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) threshold: usize,
    pub(super) members: Vec<Member>,
}

/// Groups, each made of what comes before it, and the one member that has to agree.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Quorum {
    groups: Vec<Group>,
    rule: Option<Member>,
}

impl Quorum {
    pub(super) const fn none() -> Self {
        Self {
            groups: Vec::new(),
            rule: None,
        }
    }

    pub(super) fn of_group(group: Group) -> Self {
        Self {
            groups: vec![group],
            rule: Some(Member::Group(0)),
        }
    }

    /// Groups refer to earlier ones only: that is what makes one pass enough.
    pub(super) const fn new(groups: Vec<Group>, rule: Option<Member>) -> Self {
        Self { groups, rule }
    }

    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }

    pub(super) const fn rule(&self) -> Option<Member> {
        self.rule
    }

    pub(super) const fn needs_witnesses(&self) -> bool {
        self.rule.is_some()
    }

    /// Whether the witnesses for which `agrees` is true are enough.
    pub(super) fn reached(&self, agrees: impl Fn(usize) -> bool) -> bool {
        let Some(rule) = self.rule else {
            return true;
        };
        let mut groups: Vec<bool> = Vec::with_capacity(self.groups.len());
        let counts = |member: &Member, groups: &[bool]| match member {
            Member::Witness(index) => agrees(*index),
            Member::Group(index) => groups.get(*index).copied().unwrap_or(false),
        };
        for group in &self.groups {
            let agreeing = group
                .members
                .iter()
                .filter(|member| counts(member, &groups))
                .count();
            groups.push(agreeing >= group.threshold);
        }
        counts(&rule, &groups)
    }
}
