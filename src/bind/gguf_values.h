// Names, texts and metadata values of a GGUF file as Python objects, and errors that name the file.
#pragma once

#include <cstdint>
#include <pybind11/pybind11.h>
#include <pybind11/typing.h>
#include <string_view>

#include "core/status.h"
#include "gguf/names.h"
#include "gguf/value.h"

namespace qk::bind {

// As raise_if_failed, with the file's path: a program may hold many files.
void raise_for(const Status& status, const pybind11::object& path);

pybind11::typing::List<pybind11::str> to_list(const gguf::Names& names);

// The index of a name, or -1.
int64_t find(const gguf::Names& names, const pybind11::str& name);

// The first `most` elements of an array, or a single value. `depth` arrays hold it.
pybind11::object to_object(const pybind11::object& path, const gguf::Value& value,
                           std::string_view key, int64_t most, int64_t depth = 0);

}  // namespace qk::bind
