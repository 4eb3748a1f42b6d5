//! The kernel, behind safe functions. All `unsafe` of the program that is not the interpreter's is here.

pub mod epoll;
pub mod time;
