#include "llama/architecture.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace qk::llama {
namespace {

constexpr Architecture kLlama{"llama", RopeKind::kInterleaved};
constexpr Architecture kQwen2{"qwen2", RopeKind::kNeoX};
constexpr Architecture kQwen3{"qwen3", RopeKind::kNeoX};
constexpr const Architecture* kArchitectures[] = {&kLlama, &kQwen2, &kQwen3};

using enum Size;
constexpr bool kOptional = true;

// clang-format off
constexpr Tensor kTensors[] = {
    {"embedding",      "token_embd.weight",  &Weights::embedding,   {kVocabulary, kWidth}},
    {"attention_norm", "attn_norm.weight",   &Layer::attention_norm, {kWidth}},
    {"q",              "attn_q.weight",      &Layer::q,             {kQWidth, kWidth}},
    {"k",              "attn_k.weight",      &Layer::k,             {kKvWidth, kWidth}},
    {"v",              "attn_v.weight",      &Layer::v,             {kKvWidth, kWidth}},
    {"q_bias",         "attn_q.bias",        &Layer::q_bias,        {kQWidth},  {&kQwen2}},
    {"k_bias",         "attn_k.bias",        &Layer::k_bias,        {kKvWidth}, {&kQwen2}},
    {"v_bias",         "attn_v.bias",        &Layer::v_bias,        {kKvWidth}, {&kQwen2}},
    {"q_norm",         "attn_q_norm.weight", &Layer::q_norm,        {kHeadDim}, {&kQwen3}},
    {"k_norm",         "attn_k_norm.weight", &Layer::k_norm,        {kHeadDim}, {&kQwen3}},
    {"output",         "attn_output.weight", &Layer::output,        {kWidth, kQWidth}},
    {"ffn_norm",       "ffn_norm.weight",    &Layer::ffn_norm,      {kWidth}},
    {"gate",           "ffn_gate.weight",    &Layer::gate,          {kHidden, kWidth}},
    {"up",             "ffn_up.weight",      &Layer::up,            {kHidden, kWidth}},
    {"down",           "ffn_down.weight",    &Layer::down,          {kWidth, kHidden}},
    {"output_norm",    "output_norm.weight", &Weights::output_norm, {kWidth}},
    // Where it is absent the embedding is the head, too.
    {"head",           "output.weight",      &Weights::head,        {kVocabulary, kWidth}, {}, kOptional},
    // llama.cpp divides frequencies by them in this architecture alone.
    {"rope_factors",   "rope_freqs.weight",  &Weights::rope_factors, {kRopePairs}, {&kLlama}, kOptional},
};
// clang-format on

}  // namespace

std::span<const Architecture* const> architectures() { return kArchitectures; }

std::span<const Tensor> tensors() { return kTensors; }

Status find_architecture(const char* name, const Architecture** out) {
  for (const Architecture* architecture : kArchitectures) {
    if (std::strcmp(architecture->name, name) != 0) continue;
    *out = architecture;
    return {};
  }
  return Status::value_error("the architecture '%.40s' is not known", name);
}

const char* size_name(Size size) {
  switch (size) {
    case kNone: break;
    case kVocabulary: return "vocabulary";
    case kWidth: return "width";
    case kHidden: return "hidden";
    case kHeadDim: return "head_dim";
    case kRopePairs: return "rope_pairs";
    case kQWidth: return "q_width";
    case kKvWidth: return "kv_width";
  }
  return "";
}

int64_t size_of(Size size, const Config& config, int64_t vocabulary) {
  switch (size) {
    case kNone: break;
    case kVocabulary: return vocabulary;
    case kWidth: return config.width;
    case kHidden: return config.hidden;
    case kHeadDim: return config.head_dim;
    case kRopePairs: return config.head_dim / 2;
    case kQWidth: return config.q_width();
    case kKvWidth: return config.kv_width();
  }
  return 0;
}

bool Tensor::is_of(const Architecture& architecture) const {
  return only[0] == nullptr || std::ranges::find(only, &architecture) != std::end(only);
}

std::string Tensor::name_in(int64_t layer) const {
  return of_layers() ? "blk." + std::to_string(layer) + "." + name : name;
}

}  // namespace qk::llama
