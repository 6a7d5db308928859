//! Where jobs come from. Only this module knows the outside forms of a job; everybody else sees `job` and `plan`.

pub mod job_file;
