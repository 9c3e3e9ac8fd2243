//! `/proc/PID/stat`: one line in which the second field is chosen by the process itself.

/// The fields of `/proc/PID/stat` that the agent reads. The name is never kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessStat {
    /// What the process does.
    pub state: ProcessState,
    /// Process id of its parent.
    pub parent: i32,
    /// Processor time in programs and in the kernel, in ticks of 1/100 s. 0 where the line is
    /// short.
    pub ticks: u64,
    /// Threads. 0 where the line is short.
    pub threads: u64,
}

/// What a process does, from the letter in `stat` (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProcessState {
    /// `R`.
    Running,
    /// `S` and `I`.
    Sleeping,
    /// `D`: cannot be interrupted.
    Blocked,
    /// `T` and `t`.
    Stopped,
    /// `Z` and `X`: ended, not yet collected.
    Ended,
    /// Any letter that this version does not know.
    Other,
}

impl ProcessStat {
    /// Reads one line. `None` when it has not the kernel's form.
    ///
    /// The name stands in parentheses and may itself hold parentheses, spaces and line ends
    /// (`PR_SET_NAME` takes any 15 bytes), so everything up to the *last* `)` belongs to it: what
    /// follows are numbers and one letter, which cannot contain one.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let name_ends = line.iter().rposition(|&byte| byte == b')')?;
        let name_begins = line.iter().position(|&byte| byte == b'(')?;
        if name_begins > name_ends {
            return None;
        }
        let mut fields = line
            .get(name_ends.checked_add(1)?..)?
            .split(|byte| byte.is_ascii_whitespace())
            .filter(|field| !field.is_empty());
        let state = ProcessState::from_letter(fields.next()?)?;
        let parent = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        // Fields 14, 15 and 20 of proc_pid_stat(5); the parent is field 4.
        let mut number = |skip| {
            let field = fields
                .nth(skip)
                .and_then(|field| std::str::from_utf8(field).ok());
            field
                .and_then(|field| field.parse::<u64>().ok())
                .unwrap_or(0)
        };
        let (user, system, threads) = (number(9), number(0), number(4));
        Some(Self {
            state,
            parent,
            ticks: user.saturating_add(system),
            threads,
        })
    }
}

impl ProcessState {
    fn from_letter(field: &[u8]) -> Option<Self> {
        let [letter] = field else { return None };
        Some(match letter {
            b'R' => Self::Running,
            b'S' | b'I' => Self::Sleeping,
            b'D' => Self::Blocked,
            b'T' | b't' => Self::Stopped,
            b'Z' | b'X' | b'x' => Self::Ended,
            _ => Self::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &[u8]) -> Option<(ProcessState, i32)> {
        ProcessStat::parse(line).map(|stat| (stat.state, stat.parent))
    }

    #[test]
    fn an_ordinary_line() {
        let line = b"4242 (cat) R 77 4242 77 34816 4242 4194304 92 0 0 0 0\n";
        assert_eq!(parsed(line), Some((ProcessState::Running, 77)));
    }

    #[test]
    fn times_and_threads_have_their_places() {
        let fields: Vec<String> = (5..=52).map(|field| field.to_string()).collect();
        let line = format!("1 (x) S 4 {}", fields.join(" "));
        let stat = ProcessStat::parse(line.as_bytes()).unwrap();
        assert_eq!((stat.parent, stat.ticks, stat.threads), (4, 14 + 15, 20));
        let short = ProcessStat::parse(b"1 (x) S 4 5 6").unwrap();
        assert_eq!((short.ticks, short.threads), (0, 0));
    }

    #[test]
    fn names_that_look_like_the_rest_of_the_line() {
        for name in [
            &b")) Z 1 (("[..],
            b") R 1 1 1 (",
            b"a\nb) Z 1",
            b"))))))))))))))",
            b"((((((((((((((",
            b"",
            b" ",
            b"\xff\xfe\x80",
        ] {
            let mut line = b"9 (".to_vec();
            line.extend_from_slice(name);
            line.extend_from_slice(b") D 5 9 9 0 -1 0\n");
            assert_eq!(parsed(&line), Some((ProcessState::Blocked, 5)), "{name:?}");
        }
    }

    #[test]
    fn what_has_not_the_form_is_nothing() {
        for line in [
            &b""[..],
            b")",
            b"(",
            b")(",
            b"1 (x",
            b"1 (x)",
            b"1 (x) ",
            b"1 (x) R",
            b"1 (x) RR 1",
            b"1 (x) R one",
            b"1 (x) R 99999999999999999999",
            b"1 x) R 1",
        ] {
            assert_eq!(parsed(line), None, "{:?}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn this_process_has_its_parent() {
        let line = std::fs::read("/proc/self/stat").unwrap();
        let parent = ProcessStat::parse(&line).unwrap().parent;
        assert_eq!(parent, nix::unistd::getppid().as_raw());
    }
}
