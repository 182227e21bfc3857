//! Signal handlers: which signal ends the program in order, which one at once, and the message. Only the program installs them; a
//! library must leave them to its application.
//!
//! A handler may interrupt any code that holds locks. So it calls only functions that POSIX lists as async-signal-safe: atomics,
//! `poll`, `write`, `alarm`, `raise`, `tcsetattr`, `_exit`. It needs no thread: a process that cannot start one ends too.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, Ordering::SeqCst};

use libc::{c_int, c_short};

use crate::exit::Exit;

/// Seconds that current work has to end after a SIGTERM, SIGHUP or SIGXCPU; then the process ends at once.
pub(crate) const GRACE_SECONDS: u32 = 5;

/// The effect of a Ctrl-C.
pub(super) const ENDS_AT_ONCE: u8 = 0;
/// The first one sets the flag, the second one ends the process.
pub(super) const SECOND_ENDS: u8 = 1;
/// Each one sets the flag.
pub(super) const ONLY_TOLD: u8 = 2;

/// One of the three above. Code in every other mode than [`ENDS_AT_ONCE`] checks [`STOPPED`], also after a SIGTERM.
pub(super) static MANNER: AtomicU8 = AtomicU8::new(ENDS_AT_ONCE);
/// Current work must stop at its next check.
pub(super) static STOPPED: AtomicBool = AtomicBool::new(false);
/// The signal that ends the program, 0 for none.
pub(super) static ENDING: AtomicI32 = AtomicI32::new(0);

/// This pipe has a byte from a signal on, so that a wait for input or output ends.
static WAKE: OnceLock<(OwnedFd, OwnedFd)> = OnceLock::new();
/// The terminal's settings when the program started.
static TERMINAL: OnceLock<libc::termios> = OnceLock::new();

/// Installs the handlers; called once, before anything else. A signal whose handler cannot be installed keeps the system's
/// default.
pub(super) fn install() {
    if let Ok(pipe) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK) {
        let _first = WAKE.set(pipe);
    }
    remember_terminal();
    handle(libc::SIGINT, on_interrupt, libc::SA_RESTART);
    // Without SA_RESTART, so that a wait for a line ends.
    for signal in [libc::SIGTERM, libc::SIGXCPU] {
        handle(signal, on_ending, 0);
    }
    if !is_ignored(libc::SIGHUP) {
        // Under `nohup` it is ignored, and stays ignored.
        handle(libc::SIGHUP, on_ending, 0);
    }
    handle(libc::SIGALRM, on_alarm, 0);
    handle(libc::SIGBUS, on_lost_page, libc::SA_ONSTACK);
    handle(libc::SIGABRT, on_abort, libc::SA_ONSTACK);
    // If a file may not grow any more, its write returns an error.
    // SAFETY: ignoring a signal installs no code of ours.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

fn handle(signal: c_int, handler: extern "C" fn(c_int), flags: c_int) {
    // SAFETY: all of sigaction that the system reads is set below, and zeroes are valid for the rest. The handlers keep to functions that
    // are async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as libc::sighandler_t;
        action.sa_flags = flags;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(signal, &raw const action, std::ptr::null_mut());
    }
}

fn is_ignored(signal: c_int) -> bool {
    // SAFETY: only reads the present action into a zeroed one, for which zeroes are valid.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}

fn remember_terminal() {
    // SAFETY: termios is plain numbers; it is used only after tcgetattr filled it.
    unsafe {
        let mut settings: libc::termios = std::mem::zeroed();
        if libc::tcgetattr(libc::STDIN_FILENO, &raw mut settings) == 0 {
            let _first = TERMINAL.set(settings);
        }
    }
}

extern "C" fn on_interrupt(_: c_int) {
    let manner = MANNER.load(SeqCst);
    if ENDING.load(SeqCst) != 0 {
        // The process is ending already.
        return;
    }
    let again = STOPPED.swap(true, SeqCst);
    if manner == ENDS_AT_ONCE || (manner == SECOND_ENDS && again) {
        end(Exit::Interrupted, b"stopped by Ctrl-C; acknowledged writes are kept\n");
    }
    wake();
}

extern "C" fn on_ending(signal: c_int) {
    let first = ENDING.compare_exchange(0, signal, SeqCst, SeqCst).is_ok();
    STOPPED.store(true, SeqCst);
    if MANNER.load(SeqCst) == ENDS_AT_ONCE || !first {
        end_as_told();
    }
    wake();
    // SAFETY: both are async-signal-safe. The second one ends a line editor's wait for a key: the editor has another handler for
    // SIGINT while it waits, and ours does nothing by now.
    unsafe {
        libc::alarm(GRACE_SECONDS);
        libc::raise(libc::SIGINT);
    }
}

extern "C" fn on_alarm(_: c_int) {
    end_as_told();
}

extern "C" fn on_lost_page(_: c_int) {
    end(
        Exit::Corrupt,
        b"error: a file that is mapped into memory was cut short, or its disk cannot be read any more\n  help: find the program that changes \
          the database's files (for example a synchronised folder); then run cairn check DB; the database rewrites lost segments\n",
    );
}

extern "C" fn on_abort(_: c_int) {
    end(
        Exit::Failed,
        b"error: memory, address space or threads ran out, or a library failed; acknowledged writes are kept\n  help: \
          check the limits of this process (ulimit -a) and at free memory, and run the command again\n",
    );
}

/// Ends because of the recorded signal.
fn end_as_told() -> ! {
    match ENDING.load(SeqCst) {
        libc::SIGHUP => end(Exit::HungUp, b"ended by SIGHUP; acknowledged writes are kept\n"),
        libc::SIGXCPU => end(Exit::OutOfTime, b"ended by SIGXCPU (ulimit -t); acknowledged writes are kept\n"),
        _ => end(Exit::Terminated, b"ended by SIGTERM; acknowledged writes are kept\n"),
    }
}

/// Writes the message, if that needs no waiting, and ends the process at once: its locks end with it, and the next opening reads
/// the log.
fn end(exit: Exit, words: &[u8]) -> ! {
    // SAFETY: poll, write, tcsetattr and _exit are async-signal-safe and get pointers to what lives on this stack or forever.
    unsafe {
        if let Some(settings) = TERMINAL.get() {
            libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, settings);
        }
        let mut error = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
        if libc::poll(&raw mut error, 1, 0) == 1 && error.revents & libc::POLLOUT != 0 {
            libc::write(libc::STDERR_FILENO, words.as_ptr().cast(), words.len());
        }
        libc::_exit(exit as c_int)
    }
}

/// Ends every wait. `errno` is that of the interrupted code.
fn wake() {
    let Some((_, write)) = WAKE.get() else { return };
    // SAFETY: the descriptor is never closed, and a full pipe refuses the byte without waiting. errno is a thread's own.
    unsafe {
        let before = *libc::__errno_location();
        libc::write(write.as_raw_fd(), b"x".as_ptr().cast(), 1);
        *libc::__errno_location() = before;
    }
}

/// Waits until a file can be read (`POLLIN`) or written (`POLLOUT`); false: that would need waiting, and current work must stop.
///
/// # Errors
/// When the system cannot wait.
pub(super) fn wait(file: BorrowedFd<'_>, events: c_short) -> io::Result<bool> {
    loop {
        let stopped = STOPPED.load(SeqCst);
        let woken = WAKE.get().map_or(-1, |(read, _)| read.as_raw_fd());
        let mut waits = [
            libc::pollfd { fd: file.as_raw_fd(), events, revents: 0 },
            libc::pollfd { fd: woken, events: libc::POLLIN, revents: 0 },
        ];
        // SAFETY: poll writes into the two entries of the array alone.
        let ready = unsafe { libc::poll(waits.as_mut_ptr(), 2, if stopped { 0 } else { -1 }) };
        if ready < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        } else if waits[0].revents != 0 {
            return Ok(true);
        } else if stopped {
            return Ok(false);
        } else if let Some((read, _)) = WAKE.get() {
            // The bytes of signals that were handled.
            let _empty = rustix::io::read(read, &mut [0_u8; 64]);
        }
    }
}
