//! `RouteTable::lint`.

mod warns_where_due;
