mod captures;
mod dialects;
mod ends;
mod framing;
mod oracle;
mod properties;
mod read;
mod written;
