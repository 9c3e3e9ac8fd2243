//! Trust policies as text (C2SP tlog-policy).

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use super::quorum::{Group, Member, Quorum};
use super::{MAX_TRUSTED, NONE, Trust, TrustedLog, TrustedWitness, refuse};
use crate::error::LogError;
use crate::key::VerifierKey;

/// The longest text that is read, in bytes.
const MAX_TEXT: usize = 64 * 1024;

type Parts = (Vec<TrustedLog>, Vec<TrustedWitness>, Quorum);

#[derive(Default)]
struct Reader {
    logs: Vec<TrustedLog>,
    witnesses: Vec<TrustedWitness>,
    groups: Vec<Group>,
    /// Witnesses and groups share one space of names.
    names: BTreeMap<String, Member>,
    /// Each may be a member once: nobody contributes twice.
    used: BTreeSet<Member>,
    quorum: Option<Option<Member>>,
}

pub(super) fn parse(text: &str) -> Result<Parts, LogError> {
    if text.len() > MAX_TEXT {
        return Err(refuse(format!(
            "a trust policy has at most {MAX_TEXT} bytes"
        )));
    }
    let mut reader = Reader::default();
    let body = text
        .strip_suffix('\n')
        .ok_or_else(|| refuse("the last line has no newline"))?;
    for (number, line) in body.split('\n').enumerate() {
        reader
            .line(line)
            .map_err(|error| refuse(format!("line {}: {}", number + 1, error.detail())))?;
    }
    let rule = reader
        .quorum
        .ok_or_else(|| refuse("there is no quorum line"))?;
    Ok((
        reader.logs,
        reader.witnesses,
        Quorum::new(reader.groups, rule),
    ))
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), LogError> {
        if line
            .bytes()
            .any(|byte| byte != b'\t' && byte.is_ascii_control())
        {
            return Err(refuse("control characters are not allowed"));
        }
        let words: Vec<&str> = line
            .split([' ', '\t'])
            .filter(|word| !word.is_empty())
            .collect();
        match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            ["log", key, url @ ..] => self.log(key, url),
            ["witness", name, key, url @ ..] => self.witness(name, key, url),
            ["group", name, threshold, members @ ..] => self.group(name, threshold, members),
            ["quorum", name] => self.quorum(name),
            [keyword, ..] => Err(refuse(format!(
                "{keyword:?} does not begin a line that can be read: log, witness, group, quorum"
            ))),
        }
    }

    fn log(&mut self, key: &str, url: &[&str]) -> Result<(), LogError> {
        at_most(self.logs.len(), "logs")?;
        self.logs.push(TrustedLog {
            key: VerifierKey::parse(key)?,
            url: one_url(url)?,
        });
        Ok(())
    }

    fn witness(&mut self, name: &str, key: &str, url: &[&str]) -> Result<(), LogError> {
        at_most(self.witnesses.len(), "witnesses")?;
        self.define(name, Member::Witness(self.witnesses.len()))?;
        self.witnesses.push(TrustedWitness {
            name: name.to_owned(),
            key: VerifierKey::parse(key)?,
            url: one_url(url)?,
        });
        Ok(())
    }

    fn group(&mut self, name: &str, threshold: &str, names: &[&str]) -> Result<(), LogError> {
        at_most(self.groups.len(), "groups")?;
        let mut members = Vec::new();
        for name in names {
            let member = self.known(name)?;
            if !self.used.insert(member) {
                return Err(refuse(format!("{name:?} is a member already")));
            }
            members.push(member);
        }
        let threshold = match threshold {
            "any" => Some(1),
            "all" => Some(members.len()),
            number => crate::checkpoint::parse_decimal(number)
                .and_then(|number| usize::try_from(number).ok()),
        }
        .filter(|threshold| (1..=members.len()).contains(threshold))
        .ok_or_else(|| {
            refuse(format!(
                "a group of {} needs any, all, or a number from 1 to {0} of its members",
                members.len()
            ))
        })?;
        self.define(name, Member::Group(self.groups.len()))?;
        self.groups.push(Group {
            name: name.to_owned(),
            threshold,
            members,
        });
        Ok(())
    }

    fn quorum(&mut self, name: &str) -> Result<(), LogError> {
        let rule = if name == NONE {
            None
        } else {
            Some(self.known(name)?)
        };
        if self.quorum.replace(rule).is_some() {
            return Err(refuse("there is a quorum line already"));
        }
        Ok(())
    }

    fn define(&mut self, name: &str, member: Member) -> Result<(), LogError> {
        // Names are shown to people, also those of witnesses that are missing.
        if name.chars().any(char::is_control) {
            return Err(refuse(format!("{name:?} has control characters")));
        }
        if name == NONE || self.names.insert(name.to_owned(), member).is_some() {
            return Err(refuse(format!("the name {name:?} is taken")));
        }
        Ok(())
    }

    fn known(&self, name: &str) -> Result<Member, LogError> {
        self.names
            .get(name)
            .copied()
            .ok_or_else(|| refuse(format!("no witness and no group above is called {name:?}")))
    }
}

fn at_most(have: usize, what: &str) -> Result<(), LogError> {
    if have >= MAX_TRUSTED {
        return Err(refuse(format!("there are more than {MAX_TRUSTED} {what}")));
    }
    Ok(())
}

fn one_url(words: &[&str]) -> Result<Option<String>, LogError> {
    match words {
        [] => Ok(None),
        [url] => Ok(Some((*url).to_owned())),
        [_, more, ..] => Err(refuse(format!("{more:?} stands after the URL"))),
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name_of = |member: &Member| match member {
            Member::Witness(index) => self.witnesses.get(*index).map(|it| it.name.as_str()),
            Member::Group(index) => self.quorum.groups().get(*index).map(|it| it.name.as_str()),
        };
        let with_url = |url: &Option<String>| match url {
            Some(url) => format!(" {url}"),
            None => String::new(),
        };
        for TrustedLog { key, url } in self.all_logs() {
            writeln!(formatter, "log {key}{}", with_url(url))?;
        }
        for TrustedWitness { name, key, url } in &self.witnesses {
            writeln!(formatter, "witness {name} {key}{}", with_url(url))?;
        }
        for group in self.quorum.groups() {
            write!(formatter, "group {} {}", group.name, group.threshold)?;
            for member in &group.members {
                write!(formatter, " {}", name_of(member).unwrap_or(NONE))?;
            }
            writeln!(formatter)?;
        }
        let rule = self.quorum.rule();
        let rule = rule.as_ref().and_then(name_of).unwrap_or(NONE);
        writeln!(formatter, "quorum {rule}")
    }
}
