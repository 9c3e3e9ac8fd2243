//! Just enough of ELF (System V ABI, "Object Files") to tell what a program needs to start.

use crate::eif::Architecture;
use crate::refusal::{Refusal, Rule};

const MAGIC: &[u8] = b"\x7fELF";
const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;
const TYPE_EXECUTABLE: u16 = 2;
/// Also what a static program that can be put anywhere is.
const TYPE_SHARED: u16 = 3;
const MACHINE_X86_64: u16 = 62;
const MACHINE_AARCH64: u16 = 183;
const SEGMENT_DYNAMIC: u32 = 2;
const SEGMENT_INTERPRETER: u32 = 3;
const SEGMENT_BYTES: usize = 56;
/// `DT_NEEDED`: the name of a library.
const DYNAMIC_NEEDED: u64 = 1;
const DYNAMIC_END: u64 = 0;
/// Linux takes no more program headers than fit a page of 64 KiB.
const MAX_SEGMENTS: u16 = 1024;

/// What a program needs.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Program {
    pub(super) machine: Option<Architecture>,
    /// The dynamic loader.
    pub(super) interpreter: Option<String>,
    /// Whether it needs libraries.
    pub(super) needs_libraries: bool,
}

/// Whether `content` begins like an ELF file.
pub(super) fn is_elf(content: &[u8]) -> bool {
    content.starts_with(MAGIC)
}

/// Reads a 64-bit little-endian program; `None` for anything else.
pub(super) fn program(content: &[u8]) -> Option<Program> {
    let ident = content.get(..16)?;
    let is_known = ident.starts_with(MAGIC)
        && ident.get(4..6)? == [CLASS_64, LITTLE_ENDIAN]
        && matches!(half(content, 16)?, TYPE_EXECUTABLE | TYPE_SHARED);
    let count = half(content, 56)?;
    if !is_known
        || usize::from(half(content, 54)?) != SEGMENT_BYTES
        || !(1..=MAX_SEGMENTS).contains(&count)
    {
        return None;
    }
    let mut program = Program {
        machine: match half(content, 18)? {
            MACHINE_X86_64 => Some(Architecture::X86_64),
            MACHINE_AARCH64 => Some(Architecture::Aarch64),
            _ => None,
        },
        interpreter: None,
        needs_libraries: false,
    };
    let table = place(content, 32)?;
    for index in 0..usize::from(count) {
        let start = table.checked_add(index.checked_mul(SEGMENT_BYTES)?)?;
        let header = content.get(start..start.checked_add(SEGMENT_BYTES)?)?;
        let segment = || {
            let offset = place(header, 8)?;
            content.get(offset..offset.checked_add(place(header, 32)?)?)
        };
        match u32::from_le_bytes(header.get(..4)?.try_into().ok()?) {
            SEGMENT_INTERPRETER => {
                let text = segment()?.strip_suffix(&[0])?;
                program.interpreter = Some(core::str::from_utf8(text).ok()?.to_owned());
            }
            SEGMENT_DYNAMIC => program.needs_libraries = names_library(segment()?),
            _ => {}
        }
    }
    Some(program)
}

/// The agent runs before there is anything else.
pub(super) fn check_agent(content: &[u8], architecture: Architecture) -> Result<(), Refusal> {
    let refuse = |rule: Rule, detail: &str| Err(Refusal::new(rule, "agent.program", detail));
    let Some(program) = program(content) else {
        return refuse(Rule::AgentProgram, "is no 64-bit ELF program");
    };
    if program.machine != Some(architecture) {
        let detail = format!(
            "is not for {}, the recipe's architecture",
            architecture.name()
        );
        return refuse(Rule::AgentProgram, &detail);
    }
    if program.interpreter.is_some() || program.needs_libraries {
        return refuse(
            Rule::AgentNotStatic,
            "is not static; build it for a musl target, or with `-C target-feature=+crt-static`",
        );
    }
    Ok(())
}

fn names_library(dynamic: &[u8]) -> bool {
    dynamic
        .chunks_exact(16)
        .filter_map(|entry| Some(u64::from_le_bytes(entry.get(..8)?.try_into().ok()?)))
        .take_while(|tag| *tag != DYNAMIC_END)
        .any(|tag| tag == DYNAMIC_NEEDED)
}

fn half(bytes: &[u8], offset: usize) -> Option<u16> {
    let bytes = bytes.get(offset..offset.checked_add(2)?)?;
    Some(u16::from_le_bytes(bytes.try_into().ok()?))
}

fn place(bytes: &[u8], offset: usize) -> Option<usize> {
    let bytes = bytes.get(offset..offset.checked_add(8)?)?;
    usize::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok()
}
