//! `nostale`: finds out whether any guest can still use a translation that the host has already replaced.

fn main() -> std::process::ExitCode {
    nostale_vmm::cli::main()
}
