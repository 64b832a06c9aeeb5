//! Everything that reads what strangers send, fed with broken input: nothing panics, overflows its stack or gives two
//! answers to one question. Each target runs for a second, or for as long as `make fuzz` says (`FUZZ_SECONDS`), over
//! mutations of its seeds. The run starts from `FUZZ_SEED`; what is found is written to the system's temporary folder.

mod internet;
mod pages;
