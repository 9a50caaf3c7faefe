use std::{mem, slice};

use crate::model::found::Model;

/// The models found. There is nearly always exactly one, which needs no list.
#[derive(Clone, Debug)]
pub(super) enum Models {
    None,
    One(Model),
    Many(Vec<Model>),
}

impl Models {
    pub(super) fn as_slice(&self) -> &[Model] {
        match self {
            Self::None => &[],
            Self::One(model) => slice::from_ref(model),
            Self::Many(models) => models,
        }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [Model] {
        match self {
            Self::None => &mut [],
            Self::One(model) => slice::from_mut(model),
            Self::Many(models) => models,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.as_slice().len()
    }

    pub(super) fn push(&mut self, model: Model) {
        match self {
            Self::None => *self = Self::One(model),
            Self::Many(models) => models.push(model),
            Self::One(_) => {
                if let Self::One(first) = mem::replace(self, Self::None) {
                    *self = Self::Many(vec![first, model]);
                }
            }
        }
    }
}
