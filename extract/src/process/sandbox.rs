//! What a worker gives up before it reads the first octet from outside.

use std::collections::BTreeMap;

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetStatus};
use rustix::process::{Resource, Rlimit, Signal, nice, set_parent_process_death_signal, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use super::frame::Setup;

/// What the program itself takes of address space.
const PROGRAM: u64 = 256 * 1024 * 1024;

/// Which bounds the kernel holds a worker to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InForce {
    /// Address space, processor time, no files, no core.
    pub rlimits: bool,
    /// Only the system calls that reading and answering take.
    pub seccomp: bool,
    /// No path of any file, no port.
    pub landlock: bool,
}

impl InForce {
    /// The names of those that hold.
    pub fn names(self) -> Vec<&'static str> {
        let all =
            [(self.rlimits, "rlimits"), (self.seccomp, "seccomp"), (self.landlock, "landlock")];
        all.into_iter().filter(|(holds, _)| *holds).map(|(_, name)| name).collect()
    }

    /// From its names.
    pub(super) fn from_names(text: &str) -> Self {
        let has = |name: &str| text.split(' ').any(|found| found == name);
        Self { rlimits: has("rlimits"), seccomp: has("seccomp"), landlock: has("landlock") }
    }
}

/// From here on this process reads from standard input, computes, and writes to standard output.
pub(super) fn enter(setup: &Setup) -> InForce {
    // Of all processes this one may go first when memory is short, and has time to wait.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    let _ = nice(10);
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let landlock = no_files().unwrap_or(false);
    let rlimits = bound(setup).is_ok();
    let seccomp = few_calls().is_some();
    InForce { rlimits, seccomp, landlock }
}

fn bound(setup: &Setup) -> rustix::io::Result<()> {
    let to =
        |resource, most| setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    to(Resource::Core, 0)?;
    to(Resource::Fsize, 0)?;
    to(Resource::Nofile, 0)?;
    to(Resource::Cpu, setup.processor.max(1))?;
    to(Resource::As, setup.memory.saturating_add(PROGRAM))
}

/// Landlock: everything that this kernel can refuse by path and port is refused.
fn no_files() -> Option<bool> {
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V5))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(ABI::V5)))
        .and_then(Ruleset::create)
        .ok()?;
    let status = ruleset.restrict_self().ok()?;
    Some(status.ruleset != RulesetStatus::NotEnforced)
}

/// What an allocator, a clock, and the two pipes take.
const CALLS: [i64; 26] = [
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_clock_gettime,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_restart_syscall,
    libc::SYS_sched_getaffinity,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Seccomp: all other calls fail as not permitted. Sets no_new_privs.
fn few_calls() -> Option<()> {
    seccompiler::apply_filter(&filter().ok()?).ok()
}

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        CALLS.into_iter().map(|call| (call, Vec::new())).collect();
    // Memory that can be executed is not to be had.
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        let executable = libc::PROT_EXEC as u64;
        let op = SeccompCmpOp::MaskedEq(executable);
        rules.insert(call, vec![when(2, op, 0)?]);
    }
    // abort(3), of this process alone.
    rules.insert(libc::SYS_tgkill, vec![when(0, SeccompCmpOp::Eq, std::process::id().into())?]);
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, refused, SeccompAction::Allow, arch)?.try_into()
}

fn when(
    argument: u8,
    op: SeccompCmpOp,
    value: u64,
) -> Result<SeccompRule, seccompiler::BackendError> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value)?;
    SeccompRule::new(vec![condition])
}
