"""The tables name -> object. Objects are imported on first use, so that a list of names costs no import.

Outside packages add entries without touching this repository, through the entry-point groups ``codyra_suite.methods``,
``codyra_suite.benchmarks``, ``codyra_suite.backbones`` and ``codyra_suite.spaces``, and through ``codyra_suite.metrics``,
``codyra_suite.text_scores`` and ``codyra_suite.trackers``, whose tables stand in ``suite.metrics.conventions``,
``suite.benchmarks.text_scores`` and ``suite.tracking.trackers``. An entry that
cannot be used is refused with its package and the reason when somebody asks for it, and stands in nobody else's way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from suite.registration import Entry, Registry

if TYPE_CHECKING:
    from suite.parts import BackboneConfig, BenchmarkConfig, MethodConfig
    from suite.tuning.space import Space

METHODS: Registry[type[MethodConfig]] = Registry(
    "method",
    "codyra_suite.methods",
    "suite.parts:MethodConfig",
    {
        "codyra": Entry("trainables.codyra:CodyraConfig", "rank-weighted LoRA, gates pruned by a soft threshold"),
        "weight-ensemble": Entry(
            "baselines.weight_ensemble:WeightEnsembleConfig", "mean of the weights at regular steps, around any method"
        ),
        "wise-ft": Entry("baselines.wise_ft:WiseFtConfig", "weights between those learned and a reference, around any method"),
        "zero-shot": Entry("baselines.zero_shot:ZeroShotConfig", "the untouched backbone"),
        "agem": Entry("baselines.agem:AGemConfig", "steps that do not raise the mean loss on a memory of earlier tasks"),
        "ewc": Entry("baselines.ewc:EwcConfig", "one carried LoRA held where earlier tasks' Fisher matrix says"),
        "ewclora": Entry("baselines.ewclora:EwcLoraConfig", "merged LoRA held back by the Fisher matrix of the weights"),
        "derpp": Entry(
            "baselines.derpp:DerppConfig", "replay that also holds stored rows to their old answers, around any method"
        ),
        "finetune": Entry("baselines.finetune:FinetuneConfig", "sequential full fine-tuning, the lower bound of retention"),
        "gem": Entry("baselines.gem:GemConfig", "steps that raise the loss on no earlier task's memory"),
        "joint": Entry("baselines.joint:JointConfig", "full fine-tuning on all tasks seen so far, the upper bound"),
        "gift-reference": Entry(
            "baselines.gift_reference:GiftReferenceConfig", "distillation on pairs of a reference set, around any method"
        ),
        "icarl": Entry("baselines.icarl:IcarlConfig", "herded exemplars on which a LoRA is held to a teacher"),
        "inflora": Entry("baselines.inflora:InfLoraConfig", "LoRA outside the inputs of earlier tasks, one factor frozen"),
        "keeplora": Entry("baselines.keeplora:KeepLoraConfig", "LoRA along the gradient, outside weights and inputs of before"),
        "l2p": Entry("baselines.l2p:L2PConfig", "prompts from a pool, chosen example by example by learned keys"),
        "loda": Entry("baselines.loda:LodaConfig", "one branch on shared directions, one on those of the new task alone"),
        "lora": Entry("baselines.lora:LoraConfig", "fixed-rank LoRA, merged, carried or stacked between tasks"),
        "lwf": Entry("baselines.lwf:LwfConfig", "answers of before the task distilled on its own examples, around any method"),
        "lwf-vr": Entry("baselines.lwf_vr:LwfVrConfig", "the same among random texts instead of classes, around any method"),
        "ogd": Entry("baselines.ogd:OgdConfig", "steps orthogonal to gradients of earlier tasks' examples"),
        "moe-adapters": Entry(
            "baselines.moe_adapters:MoEAdaptersConfig", "experts beside every MLP, a router per task, a selector"
        ),
        "olora": Entry("baselines.olora:OLoraConfig", "orthogonal LoRA: new subspaces orthogonal to past ones"),
        "rail-dual": Entry("baselines.rail_dual:RailDualConfig", "kernel ridge regression on frozen features, solved exactly"),
        "rail-primal": Entry(
            "baselines.rail_primal:RailPrimalConfig", "ridge regression on random features, solved recursively"
        ),
        "random-parts": Entry(
            "baselines.random_parts:RandomPartsConfig", "gated LoRA whose surviving parts are drawn beforehand"
        ),
        "replay": Entry("baselines.replay:ReplayConfig", "rows of finished tasks mixed into every step, around any method"),
        "sdlora": Entry("baselines.sdlora:SdLoraConfig", "directions of all tasks kept, their magnitudes learned on"),
        "snd": Entry(
            "baselines.snd:SndConfig", "ZSCL whose teacher is the pretrained or the previous network, around any method"
        ),
        "sora": Entry("baselines.sora:SoraConfig", "gated LoRA under a penalty and a constant threshold"),
        "squeeze": Entry("baselines.squeeze:SqueezeConfig", "LoRA of high rank cut to a lower one by singular values"),
        "zscl": Entry(
            "baselines.zscl:ZsclConfig", "the pretrained CLIP distilled on a reference set, weights averaged, around any method"
        ),
        "zscl-no-reference": Entry(
            "baselines.zscl:ZsclNoReferenceConfig", "the same on the task's own images, without a reference set"
        ),
        "any-ssr": Entry("baselines.any_ssr:AnySsrConfig", "a LoRA per task, to which a ridge regression sends each example"),
        "dualprompt": Entry(
            "baselines.dualprompt:DualPromptConfig", "a prompt for all tasks and one per task, chosen by its key"
        ),
        "hidelora": Entry(
            "baselines.hidelora:HideLoraConfig", "one carried LoRA, its rows contrasted with those of earlier tasks"
        ),
        "icl": Entry("baselines.icl:IclConfig", "in-context learning: solved training rows in front of each prompt"),
        "moram": Entry("baselines.moram:MoramConfig", "rank-1 memories of all tasks, chosen token by token by their own keys"),
        "treelora": Entry("baselines.treelora:TreeLoraConfig", "one carried LoRA, pulled towards a similar earlier task"),
    },
    are_named=True,
)

BENCHMARKS: Registry[type[BenchmarkConfig]] = Registry(
    "benchmark",
    "codyra_suite.benchmarks",
    "suite.parts:BenchmarkConfig",
    {
        "mini-mtil": Entry("suite.benchmarks.mini:MiniMtilConfig", "embedded image stream, label space of the task"),
        "mini-xtail": Entry("suite.benchmarks.mini:MiniXtailConfig", "embedded image stream, union of label spaces"),
        "image-folders": Entry(
            "suite.benchmarks.image_folders:ImageFoldersConfig", "your own <domain>/{train,test}/<class>/*.png|jpg"
        ),
        "mtil": Entry("suite.benchmarks.mtil:MtilConfig", "eleven image sets, classes of the task, full-shot"),
        "mtil-5shot": Entry("suite.benchmarks.mtil:Mtil5ShotConfig", "MTIL with 5 training images per class"),
        "mtil-16shot": Entry("suite.benchmarks.mtil:Mtil16ShotConfig", "MTIL with 16 training images per class"),
        "xtail": Entry("suite.benchmarks.xtail:XtailConfig", "ten image sets, union of 1100 classes, 16-shot"),
        "mini-trace": Entry("suite.benchmarks.mini_trace:MiniTraceConfig", "embedded eight-task text stream"),
        "trace": Entry("suite.benchmarks.trace:TraceConfig", "TRACE, eight text tasks, 5000-row release"),
        "trace-500": Entry("suite.benchmarks.trace:Trace500Config", "TRACE, eight text tasks, 500-row release"),
        "standard-cl": Entry("suite.benchmarks.standard_cl:StandardCLConfig", "dbpedia, amazon, yahoo, agnews"),
        "text-folders": Entry("suite.benchmarks.text_folders:TextFoldersConfig", "your own <task>/{train,eval,test}.json"),
    },
    are_named=True,
)

BACKBONES: Registry[type[BackboneConfig]] = Registry(
    "backbone",
    "codyra_suite.backbones",
    "suite.parts:BackboneConfig",
    {
        "mini-clip": Entry("suite.backbones.clip:MiniClipConfig", "shipped CLIP of 0.6 million parameters"),
        "open-clip": Entry("suite.backbones.clip:OpenClipConfig", "any open_clip model by name and pretrained tag"),
        "mini-lm": Entry("suite.backbones.causal_lm:MiniLMConfig", "shipped Llama of under half a million parameters"),
        "causal-lm": Entry(
            "suite.backbones.causal_lm:CausalLMConfig", "any transformers causal LM: hub id, folder or .gguf file"
        ),
    },
    are_named=True,
)

SPACES: Registry[Space] = Registry(
    "search space",
    "codyra_suite.spaces",
    "suite.tuning.space:Space",
    {
        "codyra": Entry("search_spaces.codyra:SPACE", "sparsity strength, schedule, rank and placement of CoDyRA"),
        "agem": Entry("search_spaces.agem:SPACE", "memory, policy, rank and placement of A-GEM"),
        "codyra-quick": Entry("search_spaces.codyra_quick:SPACE", "sparsity strength and placement only"),
        "codyra-steps": Entry("search_spaces.codyra_steps:SPACE", "the same with steps per task searched too"),
        "ewc": Entry("search_spaces.ewc:SPACE", "strength, memory of earlier Fisher matrices, rank and placement of EWC"),
        "ewclora": Entry("search_spaces.ewclora:SPACE", "the same of EWC-LoRA, and the form of its Fisher matrix"),
        "finetune": Entry("search_spaces.finetune:SPACE", "learning rate of full fine-tuning"),
        "gem": Entry("search_spaces.gem:SPACE", "memory, margin, policy, rank and placement of GEM"),
        "icarl": Entry("search_spaces.icarl:SPACE", "memory, distillation, rank and placement of iCaRL"),
        "derpp": Entry("search_spaces.derpp:SPACE", "memory, both weights, rank and placement of DER++"),
        "gift-reference": Entry(
            "search_spaces.gift_reference:SPACE", "distillation, matching, anchor, rank and placement of GIFT on pairs"
        ),
        "inflora": Entry("search_spaces.inflora:SPACE", "rank, energy that earlier tasks keep and placement of InfLoRA"),
        "joint": Entry("search_spaces.joint:SPACE", "learning rate of joint fine-tuning"),
        "keeplora": Entry("search_spaces.keeplora:SPACE", "energies that are kept, rank and placement of KeepLoRA"),
        "l2p": Entry("search_spaces.l2p:SPACE", "pool, length, number and pull of L2P's prompts"),
        "loda": Entry("search_spaces.loda:SPACE", "merging, gradient alignment, rank and placement of LoDA"),
        "lora": Entry("search_spaces.lora:SPACE", "rank, scale, policy and placement of fixed-rank LoRA"),
        "lwf": Entry("search_spaces.lwf:SPACE", "distillation strength, temperature, rank and placement of LwF"),
        "lwf-vr": Entry(
            "search_spaces.lwf_vr:SPACE", "distillation strength, temperature, texts, rank and placement of LwF-VR"
        ),
        "ogd": Entry("search_spaces.ogd:SPACE", "directions, rank and placement of OGD"),
        "moe-adapters": Entry("search_spaces.moe_adapters:SPACE", "use and strength of the experts, selector's bound"),
        "olora": Entry("search_spaces.olora:SPACE", "penalty strength, rank and placement of orthogonal LoRA"),
        "probe": Entry("search_spaces.probe:SPACE", "placements x ranks of fixed-rank LoRA, a grid"),
        "rail-dual": Entry("search_spaces.rail_dual:SPACE", "kernel width, ridge and mixing of RAIL-Dual"),
        "rail-primal": Entry("search_spaces.rail_primal:SPACE", "width, ridge and mixing of RAIL-Primal"),
        "random-parts": Entry("search_spaces.random_parts:SPACE", "merged rank, pruning and gates of the control of CoDyRA"),
        "replay": Entry("search_spaces.replay:SPACE", "memory size, weight and batch share of replay"),
        "weight-ensemble": Entry(
            "search_spaces.weight_ensemble:SPACE", "steps between snapshots, rank and placement of weight ensembling"
        ),
        "wise-ft": Entry("search_spaces.wise_ft:SPACE", "share of what is learned, reference, rank and placement of WiSE-FT"),
        "zscl": Entry("search_spaces.zscl:SPACE", "distillation, anchor, averaging, rank and placement of ZSCL"),
        "zscl-no-reference": Entry("search_spaces.zscl_no_reference:SPACE", "the same for ZSCL without a reference set"),
        "snd": Entry("search_spaces.snd:SPACE", "choice of teacher, distillation, rank and placement of SnD"),
        "sdlora": Entry("search_spaces.sdlora:SPACE", "magnitudes, rank, placement and optimizer of SD-LoRA"),
        "sora": Entry("search_spaces.sora:SPACE", "penalty, threshold, rank and placement of SoRA"),
        "squeeze": Entry("search_spaces.squeeze:SPACE", "ranks, cuts and placement of LoRA-Squeeze"),
        "any-ssr": Entry("search_spaces.any_ssr:SPACE", "ridge of Any-SSR's router, rank and placement of its LoRAs"),
        "dualprompt": Entry("search_spaces.dualprompt:SPACE", "lengths and pull of DualPrompt's prompts"),
        "hidelora": Entry("search_spaces.hidelora:SPACE", "contrast, rank and placement of HiDeLoRA in TreeLoRA's form"),
        "moram": Entry("search_spaces.moram:SPACE", "rank, temperature, threshold and number of MoRAM's memories"),
        "treelora": Entry("search_spaces.treelora:SPACE", "pull, its variant, rank and placement of TreeLoRA"),
    },
    of_classes=False,
)
