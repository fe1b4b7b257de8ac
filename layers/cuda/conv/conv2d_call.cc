#include "layers/cuda/conv/conv2d_call.h"

#include <vector>

namespace atrous::cuda {

namespace {

std::string size_of(const Shape& s) { return str_cat(s.n, "x", s.h, "x", s.w, "x", s.c); }

Map dense_map(const ConstAnyView& view, std::string_view what, const Context& context) {
  const std::int64_t dense = device_pitch(view.shape.c, context.precision());
  if (view.pitch != dense)
    fail(ErrorCode::invalid_argument, "conv2d on cuda: ", what, " of ", view.shape.c,
         " channels: expected a pitch of ", dense, ", found ", view.pitch);
  return map_of(view);
}

}  // namespace

Conv2dProblem problem_of(std::span<const Shape> inputs, const Shape& out) {
  Conv2dProblem p{inputs[0], out};
  if (inputs.size() > 1)
    p.residual =
        inputs[1].h == 1 && inputs[1].w == 1 ? Conv2dProblem::Residual::pixel : Conv2dProblem::Residual::map;
  return p;
}

Conv2dProblem problem_of(const KernelCall& call) {
  std::vector<Shape> inputs;
  for (const ConstAnyView& input : call.inputs) inputs.push_back(input.shape);
  return problem_of(inputs, call.output.shape);
}

std::string describe(const Conv2d& conv, const Conv2dProblem& p, Precision precision) {
  constexpr std::string_view residual[] = {"", "residual, ", "repeated residual, "};
  return str_cat("conv2d ", conv.weight.kernel_h, "x", conv.weight.kernel_w, " stride ", conv.stride,
                 " padding ", conv.padding, " dilation ", conv.dilation, " groups ", conv.groups, " ",
                 name_of(conv.activation), ", ", size_of(p.in), " -> ", p.out.c, ", ",
                 residual[static_cast<int>(p.residual)], name_of(precision));
}

Conv2dOperands operands_of(const KernelCall& call, const Context& context) {
  Conv2dOperands operands{dense_map(call.inputs[0], "input", context),
                          dense_map(call.output, "output", context), std::nullopt, call.workspace.data()};
  if (call.inputs.size() > 1) operands.residual = dense_map(call.inputs[1], "residual", context);
  return operands;
}

ScratchOperands::ScratchOperands(const Conv2dProblem& p, std::size_t workspace_bytes, const Context& context)
    : in_(device_bytes(p.in, context.precision())),
      out_(device_bytes(p.out, context.precision())),
      residual_(device_bytes(p.out, context.precision())),
      workspace_(workspace_bytes) {
  for (const Memory* memory : {&in_, &out_, &residual_})
    check(cudaMemset(memory->data(), 0x3c, memory->size()), "cudaMemset");  // 0.01 in fp32, 1.06 in half
  check(cudaStreamSynchronize(nullptr), "cudaMemset");
  const auto map = [&](const Memory& memory, const Shape& shape) {
    return map_of({static_cast<const std::byte*>(memory.data()), shape,
                   device_pitch(shape.c, context.precision()), element_type(context.precision())});
  };
  operands_ = {map(in_, p.in), map(out_, p.out), std::nullopt, static_cast<std::byte*>(workspace_.data())};
  if (p.residual == Conv2dProblem::Residual::map) operands_.residual = map(residual_, p.out);
  if (p.residual == Conv2dProblem::Residual::pixel)
    operands_.residual = map(residual_, {p.out.n, 1, 1, p.out.c});
}

}  // namespace atrous::cuda
